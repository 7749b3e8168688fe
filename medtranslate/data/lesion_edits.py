"""Lesions put into a scan and taken out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_AXIS_RATIOS = (0.8, 1.25)
_BORDER_MM = 1.0
_FILL_MM = 4.0
_LEAST_WEIGHT = 1e-3
_TEXTURE_MM = 3.0

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class SimulatedLesion:
    """An ellipsoid with a smooth edge.

    Attributes:
        centre: Voxel index along ``(i, j, k)``.
        radius_mm: Geometric mean of the half axes.
        half_axes_mm: Along ``(i, j, k)``.
    """

    centre: tuple[int, int, int]
    radius_mm: float
    half_axes_mm: tuple[float, float, float]

    def cover(self, shape: tuple[int, ...], spacing: Spacing) -> np.ndarray:
        """How far each voxel lies in the lesion, 0 to 1; one half at its surface.

        Args:
            shape: Of the scan.
            spacing: Voxel size in millimetres.
        """
        squared = np.zeros(shape)
        for axis, size in enumerate(shape):
            along = (np.arange(size) - self.centre[axis]) * spacing[axis] / self.half_axes_mm[axis]
            squared += (along**2).reshape([-1 if n == axis else 1 for n in range(3)])
        depth_mm = (1.0 - np.sqrt(squared)) * self.radius_mm
        inside: np.ndarray = np.clip(0.5 + depth_mm / _BORDER_MM, 0.0, 1.0)
        return inside


def draw_lesions(
    source: np.ndarray,
    mask: np.ndarray,
    *,
    avoid: np.ndarray,
    spacing: Spacing,
    radii_mm: Sequence[float],
    margin_mm: float,
    generator: np.random.Generator,
) -> list[SimulatedLesion]:
    """Choose healthy places for lesions: inside, uniform, not dark, apart from one another.

    A place must lie, with the lesion and ``margin_mm`` around it, in the mask and outside
    ``avoid``. Of such places those are taken whose neighbourhood of 3 mm varies less than the
    median place's and is brighter than half the median of the mask, which is white matter on most
    MR scans and keeps lesions out of the fluid of a T1w scan.

    Args:
        source: Shape ``(i, j, k)``, background 0.
        mask: Boolean, same shape; the patient.
        avoid: Boolean, same shape; lesions that are there already.
        spacing: Voxel size in millimetres.
        radii_mm: Of the lesions, largest first.
        margin_mm: Undisturbed surroundings that each needs.
        generator: Source of randomness.

    Returns:
        In the order of ``radii_mm``; a radius for which there is no place is left out.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask & ~avoid, 1), sampling=spacing)
    depth = depth[1:-1, 1:-1, 1:-1]
    sigma = [_TEXTURE_MM / size for size in spacing]
    mean = ndimage.gaussian_filter(source.astype(np.float64), sigma)
    variance = ndimage.gaussian_filter(source.astype(np.float64) ** 2, sigma) - mean**2
    bright = mean > 0.5 * float(np.median(source[mask]))
    drawn: list[SimulatedLesion] = []
    for radius in radii_mm:
        ratios = generator.uniform(*_AXIS_RATIOS, size=3)
        i, j, k = radius * ratios / np.cbrt(ratios.prod())
        places = np.argwhere((depth > max(i, j, k) + margin_mm) & bright)
        for other in drawn:
            distance = np.linalg.norm((places - other.centre) * spacing, axis=1)
            places = places[distance > max(i, j, k) + max(other.half_axes_mm) + 2 * margin_mm]
        if not len(places):
            continue
        varying = variance[tuple(places.T)]
        a, b, c = generator.choice(places[varying <= np.median(varying)])
        centre = (int(a), int(b), int(c))
        drawn.append(SimulatedLesion(centre, radius, (float(i), float(j), float(k))))
    return drawn


def insert_lesions(
    source: np.ndarray, lesions: Sequence[SimulatedLesion], *, contrast: float, spacing: Spacing
) -> np.ndarray:
    """The scan with lesions; its own texture goes on inside them.

    Args:
        source: Shape ``(i, j, k)``, background 0.
        lesions: Where.
        contrast: What they add, as a fraction of what is there; -0.3 is 30 % darker.
        spacing: Voxel size in millimetres.

    Returns:
        Same shape, float64.
    """
    changed = source.astype(np.float64)
    for lesion in lesions:
        changed *= 1.0 + contrast * lesion.cover(source.shape, spacing)
    return changed


def erase_lesions(
    source: np.ndarray, lesions: np.ndarray, *, mask: np.ndarray, spacing: Spacing
) -> np.ndarray:
    """The scan without its lesions: each voxel of them filled from the healthy ones around it.

    The fill is a mean weighted by a Gaussian of 4 mm. In the middle of lesions too wide for it
    stands the median of the healthy patient. Fluid and grey matter near a lesion flow into the
    fill, and it has no noise: an erased place is smooth.

    Args:
        source: Shape ``(i, j, k)``.
        lesions: Boolean, same shape; grown by 1 mm before filling, for their blurred edge.
        mask: Boolean, same shape; the patient. Nothing outside is used.
        spacing: Voxel size in millimetres.

    Returns:
        Same shape, float64.

    Raises:
        ValueError: If the lesions fill the whole mask.
    """
    grown = ndimage.distance_transform_edt(~lesions, sampling=spacing) <= _BORDER_MM
    healthy = mask & ~grown
    if not healthy.any():
        raise ValueError("the lesions fill the whole mask: there is nothing to fill them from")
    voxels = source.astype(np.float64)
    sigma = [_FILL_MM / size for size in spacing]
    weight = ndimage.gaussian_filter(healthy.astype(np.float64), sigma)
    total = ndimage.gaussian_filter(np.where(healthy, voxels, 0.0), sigma)
    fill = np.full(voxels.shape, np.median(voxels[healthy]))
    np.divide(total, weight, out=fill, where=weight > _LEAST_WEIGHT)
    return np.where(grown & mask, fill, voxels)
