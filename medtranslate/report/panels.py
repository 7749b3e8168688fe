"""One slice of a case, cut and turned for viewing, and the window it is seen through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medtranslate.geometry import Geometry
from medtranslate.metrics.similarity import bounding_box
from medtranslate.metrics.yardstick import Yardstick

_MARGIN_VOXELS = 6
_MIN_SHARE = 0.5
"""A slice through a small part is enlarged, to no less than this share of the whole patient."""
_CT_WINDOW_HU = (-250.0, 1000.0)
_CT_ERROR_HU = 200.0
_VIEW_PERCENTILE = 99.5
_ERROR_PERCENTILE = 95

_VIEWS = {"axial": ("LR", "PA"), "coronal": ("LR", "IS"), "sagittal": ("PA", "IS")}
_SIDES = {"axial": ("R", "L"), "coronal": ("R", "L"), "sagittal": ("A", "P")}


@dataclass(frozen=True, eq=False)
class SlicePicture:
    """One slice of one case in scored units, turned for viewing and cut to the patient.

    Arrays are ``(row, column)``, row 0 at the top; axial and coronal slices show the patient's
    right on the left, as radiologists look at them.

    Attributes:
        index: Slice as the file counts it.
        psnr: Of this slice, in dB.
        source: None where no source was given.
        prediction: What the model made.
        reference: The real scan.
        mask: Where it was scored.
        aspect: Height of a pixel over its width.
        sides: Letters at the left and right edge.
        sd: Standard deviation of the prediction; None where the model offers none.
    """

    index: int
    psnr: float
    source: np.ndarray | None
    prediction: np.ndarray
    reference: np.ndarray
    mask: np.ndarray
    aspect: float
    sides: tuple[str, str]
    sd: np.ndarray | None = None


def cut_slice(
    yardstick: Yardstick,
    geometry: Geometry,
    *,
    index: int,
    psnr: float,
    prediction: np.ndarray,
    source: np.ndarray | None,
    sd: np.ndarray | None = None,
    enlarge: bool = True,
) -> SlicePicture:
    """Take one slice out of a case.

    Args:
        yardstick: The reference, made ready.
        geometry: Where the case's voxels lie.
        index: Slice along the yardstick's first axis.
        psnr: Score of the slice, in dB.
        prediction: Shape of the yardstick, scored units.
        source: Shape ``(i, j, k)``, any unit; it gets a window of its own.
        sd: Standard deviation of the prediction, shape ``(i, j, k)``, scored units.
        enlarge: Show a small slice larger; off, every slice of a case is cut by the same box.
    """
    axis = yardstick.protocol.axis
    rest = [number for number in range(3) if number != yardstick.voxel_axis]
    letters = [geometry.orientation[number] for number in rest]
    spacing = [geometry.spacing[number] for number in rest]
    across, _ = _VIEWS[axis]
    transpose = letters[0] in across
    box = _choose_box(yardstick.mask, index if enlarge else None)

    def turn(plane: np.ndarray) -> np.ndarray:
        plane = plane[box].astype(np.float32)
        row, column = (letters[1], letters[0]) if transpose else (letters[0], letters[1])
        plane = plane.T if transpose else plane
        # Rows run down to I or P; columns run to the patient's left, or from front to back.
        plane = plane[::-1] if row in "SA" else plane
        return np.ascontiguousarray(plane[:, ::-1] if column in "RA" else plane)

    row_mm, column_mm = spacing[::-1] if transpose else spacing
    source_plane, sd_plane = (
        None if volume is None else turn(np.moveaxis(volume, yardstick.voxel_axis, 0)[index])
        for volume in (source, sd)
    )
    return SlicePicture(
        index=index,
        psnr=psnr,
        source=source_plane,
        prediction=turn(prediction[index]),
        reference=turn(yardstick.reference[index]),
        mask=turn(yardstick.mask[index]) > 0,
        aspect=row_mm / column_mm,
        sides=_SIDES[axis],
        sd=sd_plane,
    )


def _choose_box(mask: np.ndarray, index: int | None) -> tuple[slice, ...]:
    """Rows and columns to show: the patient's box, or a part of its shape around a small slice."""
    whole = bounding_box(np.logical_or.reduce(mask), margin=_MARGIN_VOXELS)
    if index is None or not mask[index].any():
        return whole
    part = bounding_box(mask[index], margin=_MARGIN_VOXELS)
    sizes = [edge.stop - edge.start for edge in whole]
    needed = [edge.stop - edge.start for edge in part]
    share = max(_MIN_SHARE, *(need / size for need, size in zip(needed, sizes, strict=True)))
    box = []
    for edge, small, size in zip(whole, part, sizes, strict=True):
        length = min(size, int(np.ceil(share * size)))
        start = (small.start + small.stop - length) // 2
        start = min(max(start, edge.start), edge.stop - length)
        box.append(slice(start, start + length))
    return tuple(box)


@dataclass(frozen=True)
class Window:
    """Grey window and error limits that all panels of a report share, in scored units."""

    low: float
    high: float
    error: float


def find_window(pictures: Sequence[SlicePicture], *, is_ct: bool, ct_low: float) -> Window:
    """One window for every synthetic and real panel, and one error scale.

    The grey window of MR reaches from 0 to the 99.5th percentile of the real slices shown, that of
    CT from -250 to 1000 HU. The error scale reaches to the 95th percentile of its size, rounded up.

    Args:
        pictures: Slices that will be shown.
        is_ct: Whether scored units are HU above ``ct_low``.
        ct_low: Lower end of the CT range, in HU.
    """
    errors = [np.abs(one.prediction - one.reference)[one.mask] for one in pictures]
    error = _round_up(float(np.percentile(np.concatenate(errors), _ERROR_PERCENTILE)))
    if is_ct:
        low, high = (edge - ct_low for edge in _CT_WINDOW_HU)
        return Window(low=low, high=high, error=error)
    inside = np.concatenate([one.reference[one.mask] for one in pictures])
    high = float(np.percentile(inside, _VIEW_PERCENTILE))
    return Window(low=0.0, high=high if high > 0 else 1.0, error=error)


def fixed_window(data_range: float, *, is_ct: bool, ct_low: float) -> Window:
    """A window that needs no look at the slices: the range of the scores, errors to a fifth of it.

    Args:
        data_range: Range of scored units.
        is_ct: Whether scored units are HU above ``ct_low``; then -250 to 1000 HU and errors to 200.
        ct_low: Lower end of the CT range, in HU.
    """
    if is_ct:
        low, high = (edge - ct_low for edge in _CT_WINDOW_HU)
        return Window(low=low, high=high, error=_CT_ERROR_HU)
    return Window(low=0.0, high=data_range, error=data_range / 5)


def _round_up(value: float) -> float:
    """To the next 1, 2 or 5 times a power of ten; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.999))
