"""Whether lesions show in a synthetic image, and whether it shows some that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medtranslate.metrics.similarity import bounding_box

SHELL_MM = (1.0, 5.0)
"""Surroundings of a lesion: voxels at this distance from it."""

VISIBLE_SD = 1.0
"""A region is seen if it differs from its shell by more than so many standard deviations of it."""

VISIBLE_SHARE = 0.02
"""And by more than this share of the data range, or images without noise would show anything."""

MIN_VOLUME_MM3 = 20.0
"""Smaller regions are not counted, neither as lesions nor as false ones."""

_MIN_SHELL_VOXELS = 10

Spacing = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Region:
    """A lesion and the healthy tissue around it, in the part of the volume that holds both.

    Attributes:
        box: That part.
        inside: Boolean, shape of the box; the lesion.
        shell: Boolean, same shape; its surroundings.
        volume_mm3: Of the lesion.
    """

    box: tuple[slice, ...]
    inside: np.ndarray
    shell: np.ndarray
    volume_mm3: float


@dataclass(frozen=True)
class Contrast:
    """How a region differs from its shell.

    Attributes:
        difference: Mean of the region minus median of the shell, unit of the image.
        level: Median of the shell, same unit.
        spread: Standard deviation of the shell, same unit.
        data_range: Range of the image, same unit.
    """

    difference: float
    level: float
    spread: float
    data_range: float

    @property
    def relative(self) -> float:
        """Weber contrast: the difference over the level, which counts as 1 % of the range at least.

        -0.3 is 30 % darker than the surroundings; the same for any scale of the intensities.
        """
        return self.difference / max(abs(self.level), 0.01 * self.data_range)

    @property
    def threshold(self) -> float:
        """Least difference that is seen in these surroundings, unit of the image."""
        return max(VISIBLE_SD * self.spread, VISIBLE_SHARE * self.data_range)

    @property
    def visible(self) -> bool:
        """Whether the region is seen."""
        return abs(self.difference) > self.threshold


@dataclass(frozen=True)
class InsertedLesion:
    """What an image does with a lesion that was put into its source.

    Attributes:
        source: Contrast that the insertion added to the source, relative to the surroundings.
        synthetic: Contrast that it added to the synthetic image, likewise.
        detected: Whether it is seen there.
    """

    source: float
    synthetic: float
    detected: bool

    @property
    def retained(self) -> float:
        """Size of the contrast in the synthetic image as a share of that in the source."""
        return abs(self.synthetic / self.source)


@dataclass(frozen=True)
class RealLesion:
    """What an image makes of a lesion that the person has.

    Attributes:
        real: Contrast in the real image, relative to the surroundings.
        synthetic: In the synthetic image.
        erased: In the synthetic image of the source without the lesion.
        visible: Whether it is seen in the real image.
        shown: Whether it is seen in the synthetic image, with the same sign.
        invented: Whether it is still seen there, with the same sign, after it was erased.
    """

    real: float
    synthetic: float
    erased: float
    visible: bool
    shown: bool
    invented: bool

    @property
    def retained(self) -> float:
        """Contrast of the synthetic image as a share of the real one; negative if turned round."""
        return self.synthetic / self.real


def make_region(lesion: np.ndarray, *, healthy: np.ndarray, spacing: Spacing) -> Region | None:
    """A lesion with its shell.

    Args:
        lesion: Boolean, shape ``(i, j, k)``, not empty.
        healthy: Boolean, same shape; where the shell may lie.
        spacing: Voxel size in millimetres.

    Returns:
        None if the shell has fewer than ten voxels.
    """
    inner, outer = SHELL_MM
    margin = int(np.ceil(outer / min(spacing)))
    box = bounding_box(lesion, margin=margin)
    inside = lesion[box]
    distance = ndimage.distance_transform_edt(~inside, sampling=spacing)
    shell = (distance > inner) & (distance <= outer) & healthy[box] & ~inside
    if np.count_nonzero(shell) < _MIN_SHELL_VOXELS:
        return None
    return Region(box, inside, shell, float(np.count_nonzero(inside) * np.prod(spacing)))


def split_lesions(lesions: np.ndarray, *, mask: np.ndarray, spacing: Spacing) -> Iterator[Region]:
    """Each connected lesion (26 neighbours) of at least ``MIN_VOLUME_MM3`` that has a shell.

    Args:
        lesions: Boolean, shape ``(i, j, k)``.
        mask: Boolean, same shape; parts of lesions outside are left out.
        spacing: Voxel size in millimetres.
    """
    healthy = mask & ~lesions
    labels, count = ndimage.label(lesions & mask, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * np.prod(spacing)
    for number in range(1, count + 1):
        if sizes[number] < MIN_VOLUME_MM3:
            continue
        region = make_region(labels == number, healthy=healthy, spacing=spacing)
        if region is not None:
            yield region


def measure_contrast(image: np.ndarray, region: Region, *, data_range: float) -> Contrast:
    """How a region differs from its shell in an image.

    Args:
        image: Shape ``(i, j, k)``, background 0.
        region: Where.
        data_range: Range of the image's intensities.
    """
    part = image[region.box]
    around = part[region.shell]
    level = float(np.median(around))
    return Contrast(
        difference=float(part[region.inside].mean()) - level,
        level=level,
        spread=float(around.std()),
        data_range=data_range,
    )


def judge_insertion(
    region: Region,
    *,
    source: tuple[np.ndarray, np.ndarray],
    synthetic: tuple[np.ndarray, np.ndarray],
    source_range: float,
    synthetic_range: float,
) -> InsertedLesion:
    """Compare a place without and with a lesion.

    The lesion is seen if it changes the contrast by more than the threshold of the untouched
    surroundings, see :attr:`Contrast.threshold`.

    Args:
        region: Where it was inserted.
        source: The source without and with it, shape ``(i, j, k)``, background 0.
        synthetic: What the model makes of them, same shape.
        source_range: Range of the source.
        synthetic_range: Range of the synthetic image.
    """
    before, after = (measure_contrast(one, region, data_range=source_range) for one in source)
    untouched, changed = (
        measure_contrast(one, region, data_range=synthetic_range) for one in synthetic
    )
    added = abs(changed.difference - untouched.difference)
    return InsertedLesion(
        source=after.relative - before.relative,
        synthetic=changed.relative - untouched.relative,
        detected=added > untouched.threshold,
    )


def judge_real(
    region: Region,
    *,
    real: np.ndarray,
    synthetic: np.ndarray,
    erased: np.ndarray,
    data_range: float,
) -> RealLesion:
    """Compare a lesion in the real image with what the model shows, with it and without.

    Args:
        region: The lesion.
        real: The real image, shape ``(i, j, k)``, background 0.
        synthetic: The synthetic one, same unit.
        erased: The synthetic image of the source from which the lesion was erased.
        data_range: Range of these images.
    """
    truth, shown, left = (
        measure_contrast(image, region, data_range=data_range)
        for image in (real, synthetic, erased)
    )
    return RealLesion(
        real=truth.relative,
        synthetic=shown.relative,
        erased=left.relative,
        visible=truth.visible,
        shown=shown.visible and shown.difference * truth.difference > 0,
        invented=left.visible and left.difference * truth.difference > 0,
    )


def count_false_lesions(
    before: np.ndarray,
    after: np.ndarray,
    *,
    changed: np.ndarray,
    mask: np.ndarray,
    threshold: float,
    spacing: Spacing,
) -> int:
    """Places where a synthetic image changed although its source did not.

    Connected parts (26 neighbours) of at least ``MIN_VOLUME_MM3`` in which the images differ by
    more than the threshold, farther from what was changed than the outer edge of the shell.

    Args:
        before: Synthetic image of the untouched source, shape ``(i, j, k)``.
        after: Synthetic image of the changed source.
        changed: Boolean, same shape; where the source was changed.
        mask: Boolean, same shape; where to look.
        threshold: Least difference that is seen, unit of the images.
        spacing: Voxel size in millimetres.
    """
    distance = ndimage.distance_transform_edt(~changed, sampling=spacing)
    far = mask & (distance > SHELL_MM[1])
    labels, _ = ndimage.label(
        (np.abs(after - before) > threshold) & far, structure=np.ones((3, 3, 3))
    )
    sizes = np.bincount(labels.ravel())[1:] * np.prod(spacing)
    return int(np.count_nonzero(sizes >= MIN_VOLUME_MM3))
