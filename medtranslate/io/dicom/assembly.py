"""Order slices by position along their normal, and name whatever keeps them from being a grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medtranslate.geometry import Geometry
from medtranslate.io.dicom.faults import Fault, fault, refusal
from medtranslate.io.dicom.location import Fixes
from medtranslate.io.dicom.mixtures import find_mixtures
from medtranslate.io.dicom.slices import Slice
from medtranslate.io.scan import make_geometry

_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_PLACE_MM = 0.01
_TOLERANCE_MM = 0.1
_TOLERANCE_SHARE = 0.05
_NOTICED_MM = 0.01
_LARGEST_TILT_DEGREES = 0.5
_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Assembly:
    """Slices in order, and the grid they make.

    Attributes:
        slices: One for each ``k``; None where one is missing and is to be filled in.
        geometry: Voxel ``(i, j, k)`` is column i, row j of slice k; RAS+ mm, slices along +normal.
        shifts: Voxels along ``(i, j)`` by which each slice is to be moved on that grid, shape
            ``(k, 2)``; None unless a gantry tilt is undone.
        warnings: What is odd but usable, one sentence each.
        repairs: What is repaired, one sentence each.
    """

    slices: tuple[Slice | None, ...]
    geometry: Geometry
    shifts: np.ndarray | None
    warnings: tuple[str, ...]
    repairs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Row:
    """Slices at places of their own, sorted along the normal.

    Attributes:
        slices: The slices.
        index: Place of each on an even grid; gaps are missing slices.
        step: From one place to the next, LPS mm.
        residual_mm: Largest distance of a slice from its place.
    """

    slices: tuple[Slice, ...]
    index: np.ndarray
    step: np.ndarray
    residual_mm: float

    @property
    def num_places(self) -> int:
        """Places on the grid, missing ones included."""
        return int(self.index[-1]) + 1

    @property
    def num_missing(self) -> int:
        """Places without a slice."""
        return self.num_places - len(self.slices)


def assemble(
    path: Path,
    slices: Sequence[Slice],
    *,
    fixes: Fixes,
    is_copy: Callable[[Slice, Slice], bool],
) -> Assembly:
    """Put slices in order, or refuse them by name.

    Args:
        path: For messages.
        slices: In any order, at least one.
        fixes: Repairs asked for; without them every fault refuses the series.
        is_copy: Whether two slices at one place have the same voxels.

    Raises:
        DicomError: With every fault that is not repaired.
        GeometryError: If what they make is no grid.
    """
    faults = list(find_mixtures(slices))
    if faults:
        raise refusal(path, faults)
    row, faults, repairs = _make_row(slices, fixes, is_copy)
    if row is None:
        raise refusal(path, faults)
    faults += _judge_gaps(row, fixes)
    tilt = _find_tilt(row)
    if tilt is not None and not fixes.deskew:
        faults.append(tilt)
    if faults:
        raise refusal(path, faults)
    repairs += _tell_filled(row)
    warnings = tuple(_find_oddities(row))
    if tilt is None:
        geometry = _make_grid(path, row, row.slices[0].size, np.zeros(2), row.step)
        return Assembly(_places(row), geometry, None, warnings, tuple(repairs))
    repairs.append(f"{tilt.what}; each slice was moved within its plane to undo it")
    return _deskewed(path, row, warnings, tuple(repairs))


def _make_row(
    slices: Sequence[Slice], fixes: Fixes, is_copy: Callable[[Slice, Slice], bool]
) -> tuple[_Row | None, list[Fault], list[str]]:
    """The slices one a place, with what is wrong and what was repaired; None if nothing fits."""
    groups = _group_by_place(slices)
    faults, repairs = _judge_copies(groups, fixes, is_copy)
    if any(one.name != "duplicates" for one in faults):
        return None, faults, repairs
    row = _space_evenly([group[0] for group in groups])
    if isinstance(row, Fault):
        return None, [*faults, row], repairs
    return row, faults, repairs


def _group_by_place(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices that lie at one place together, along the normal; ties in the order of their files."""
    normal = slices[0].normal
    order = sorted(slices, key=lambda s: (round(float(s.position @ normal), 3), s.key, s.frame))
    groups: list[list[Slice]] = []
    for one in order:
        near = groups and np.linalg.norm(groups[-1][0].position - one.position) <= _SAME_PLACE_MM
        if near:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _judge_copies(
    groups: Sequence[Sequence[Slice]], fixes: Fixes, is_copy: Callable[[Slice, Slice], bool]
) -> tuple[list[Fault], list[str]]:
    twins = [(group[0], other) for group in groups for other in group[1:]]
    different = [(one, other) for one, other in twins if not is_copy(one, other)]
    depths = {len(group) for group in groups}
    if different and len(depths) == 1:
        text = f"holds {depths.pop()} slices with different voxels at each of {len(groups)} places"
        return [fault("several-volumes", text)], []
    if different:
        one, other = different[0]
        more = f", and {len(different) - 1} more such pairs" if len(different) > 1 else ""
        text = f"{one.label} and {other.label} both lie at {_place(one)} and differ{more}"
        return [fault("conflicting-slices", text)], []
    if twins and fixes.drop_duplicates:
        return [], [f"{_count(len(twins), 'exact copy', 'exact copies')} of slices left out"]
    if twins:
        pairs = [f"{other.label} of {one.label} at {_place(one)}" for one, other in twins]
        text = f"{_count(len(twins), 'slice is a copy', 'slices are copies')}: {_join(pairs)}"
        return [fault("duplicates", text)], []
    return [], []


def _space_evenly(slices: Sequence[Slice]) -> _Row | Fault:
    """The slices as places on an even grid, with gaps where some are missing."""
    if len(slices) == 1:
        return _place_single(slices[0])
    normal = slices[0].normal
    positions = np.array([one.position for one in slices])
    gaps = np.diff(positions @ normal)
    if gaps.min() <= _SAME_PLACE_MM:
        n = int(gaps.argmin())
        text = f"{slices[n].label} and {slices[n + 1].label} lie in one plane, side by side"
        return fault("irregular-position", text)
    usual = float(np.median(gaps[gaps < 1.5 * gaps.min()]))
    for index in (
        np.arange(len(slices)),
        np.concatenate([[0], np.cumsum(np.rint(gaps / usual))]).astype(int),
    ):
        step = (positions[-1] - positions[0]) / index[-1]
        off = positions - positions[0] - index[:, None] * step
        if np.linalg.norm(off, axis=1).max() <= _tolerance(step):
            residual = float(np.linalg.norm(off, axis=1).max())
            return _Row(tuple(slices), index, step, residual)
    if np.abs(off @ normal).max() <= _tolerance(step):
        n = int(np.linalg.norm(off, axis=1).argmax())
        text = f"slices are not in a line: {slices[n].label} is aside, at {_place(slices[n])}"
        return fault("irregular-position", text)
    n = int(np.abs(gaps - usual).argmax())
    text = (
        f"slices are {gaps.min():.3f} to {gaps.max():.3f} mm apart, mostly {usual:.3f} mm;"
        f" {gaps[n]:.3f} mm between {slices[n].label} and {slices[n + 1].label}"
    )
    return fault("varying-spacing", text)


def _tolerance(step: np.ndarray) -> float:
    return min(_TOLERANCE_MM, _TOLERANCE_SHARE * float(np.linalg.norm(step)))


def _place_single(one: Slice) -> _Row | Fault:
    if one.thickness is None:
        return fault("absent-spacing", f"{one.label} is the only slice and gives no thickness")
    return _Row((one,), np.zeros(1, dtype=int), one.normal * one.thickness, 0.0)


def _judge_gaps(row: _Row, fixes: Fixes) -> list[Fault]:
    if row.num_missing <= fixes.interpolate_missing:
        return []
    gaps = [
        f"{count - 1} between {one.label} at {_place(one)} and {other.label} at {_place(other)}"
        for one, other, count in zip(row.slices, row.slices[1:], np.diff(row.index), strict=False)
        if count > 1
    ]
    text = f"{_count(row.num_missing, 'slice is', 'slices are')} missing: {_join(gaps)}"
    allowed = fixes.interpolate_missing
    told = f"; --fix interpolate-missing={allowed} allows {allowed}" if allowed else ""
    advice = f"Fetch them, or repair with --fix interpolate-missing={row.num_missing}"
    return [fault("missing-slices", text + told, advice)]


def _tell_filled(row: _Row) -> list[str]:
    absent = sorted(set(range(row.num_places)) - set(row.index.tolist()))
    if not absent:
        return []
    places = _join([str(n + 1) for n in absent])
    kind = "slice was" if len(absent) == 1 else "slices were"
    return [
        f"{len(absent)} missing {kind} interpolated linearly between neighbours: number {places}"
        f" of {row.num_places}"
    ]


def _find_tilt(row: _Row) -> Fault | None:
    normal = row.slices[0].normal
    along = float(row.step @ normal)
    aside = float(np.linalg.norm(row.step - along * normal))
    degrees = float(np.degrees(np.arctan2(aside, along)))
    if degrees <= _LARGEST_TILT_DEGREES:
        return None
    text = f"gantry tilt of {degrees:.1f} degrees: each slice lies {aside:.2f} mm aside of the last"
    return fault("gantry-tilt", text)


def _find_oddities(row: _Row) -> Iterator[str]:
    if row.residual_mm > _NOTICED_MM:
        yield f"slices lie up to {row.residual_mm:.2f} mm from an even grid; the even grid is used"
    if len(row.slices) == 1:
        yield "a single slice; the distance to the next is taken from its thickness"
    if not row.slices[0].frame_of_reference:
        yield "does not name its frame of reference; other series may lie elsewhere"


def _places(row: _Row) -> tuple[Slice | None, ...]:
    places: list[Slice | None] = [None] * row.num_places
    for n, one in zip(row.index.tolist(), row.slices, strict=True):
        places[n] = one
    return tuple(places)


def _make_grid(
    path: Path, row: _Row, size: tuple[int, int], start: np.ndarray, step: np.ndarray
) -> Geometry:
    """The grid whose first voxel lies ``start`` voxels ``(i, j)`` beside the first slice's."""
    first = row.slices[0]
    in_plane = first.axes.T * np.array(first.spacing)
    affine = np.eye(4)
    affine[:3, :2] = in_plane
    affine[:3, 2] = step
    affine[:3, 3] = first.position + in_plane @ start
    return make_geometry(path, (*size, row.num_places), _RAS_FROM_LPS @ affine)


def _deskewed(
    path: Path, row: _Row, warnings: tuple[str, ...], repairs: tuple[str, ...]
) -> Assembly:
    """A grid at right angles that holds every slice, and where on it each begins."""
    first = row.slices[0]
    aside = first.axes @ row.step / np.array(first.spacing)
    begins = np.round(np.arange(row.num_places)[:, None] * aside, 4)  # whole shifts stay whole
    low, high = np.floor(begins.min(axis=0)), np.ceil(begins.max(axis=0))
    columns, rows = (int(n) for n in np.array(first.size) + high - low)
    step = first.normal * float(row.step @ first.normal)
    geometry = _make_grid(path, row, (columns, rows), low, step)
    return Assembly(_places(row), geometry, begins - low, warnings, repairs)


def _place(one: Slice) -> str:
    """Centre of the first voxel, RAS+, for messages."""
    x, y, z = _RAS_FROM_LPS[:3, :3] @ one.position
    return f"({x:.2f}, {y:.2f}, {z:.2f}) mm"


def _join(parts: Sequence[str]) -> str:
    more = len(parts) - _SHOWN
    return ", ".join(parts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
