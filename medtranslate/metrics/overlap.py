"""How well two segmentations of the same label agree: overlap, distance of surfaces, volume."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medtranslate.metrics.regions import dice

_MM3_PER_ML = 1000.0

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Agreement:
    """Two segmentations of one label, of which at least one is not empty.

    Attributes:
        dice: Dice overlap, 0 to 1; 0 if one is empty.
        hd95_mm: 95th percentile Hausdorff distance; None if one is empty, for then there is no
            surface to measure to.
        reference_ml: Volume in the reference.
        difference_ml: Volume of the prediction minus that of the reference.
        difference_percent: The same in percent of the reference; None if that is empty.
    """

    dice: float
    hd95_mm: float | None
    reference_ml: float
    difference_ml: float
    difference_percent: float | None


def measure_agreement(
    reference: np.ndarray, prediction: np.ndarray, *, spacing: Spacing
) -> Agreement | None:
    """Compare two segmentations of one label.

    Args:
        reference: Boolean, shape ``(i, j, k)``.
        prediction: Boolean, same shape.
        spacing: Distance of voxel centres along ``(i, j, k)``, in mm.

    Returns:
        None if both are empty: to agree on an absent label says nothing about a segmentation.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> cube = np.zeros((8, 8, 8), bool)
        >>> cube[2:6, 2:6, 2:6] = True
        >>> found = measure_agreement(cube, np.roll(cube, 1, axis=0), spacing=(3.0, 1.0, 1.0))
        >>> found.dice, found.hd95_mm, found.difference_ml
        (0.75, 3.0, 0.0)
    """
    if reference.shape != prediction.shape:
        raise ValueError(f"prediction has shape {prediction.shape}, reference {reference.shape}")
    if not (reference.any() or prediction.any()):
        return None
    voxel_ml = math.prod(spacing) / _MM3_PER_ML
    voxels = int(np.count_nonzero(reference))
    difference = int(np.count_nonzero(prediction)) - voxels
    return Agreement(
        dice=dice(reference, prediction),
        hd95_mm=hausdorff_95(reference, prediction, spacing=spacing),
        reference_ml=voxels * voxel_ml,
        difference_ml=difference * voxel_ml,
        difference_percent=100 * difference / voxels if voxels else None,
    )


def hausdorff_95(
    reference: np.ndarray, prediction: np.ndarray, *, spacing: Spacing
) -> float | None:
    """95th percentile Hausdorff distance of two regions.

    The larger of the two directed ones, as Metrics Reloaded (Maier-Hein et al., Nature Methods
    2024;21:195-212) defines it and MONAI computes it; others pool both directions, which gives
    other numbers.

    Args:
        reference: Boolean, shape ``(i, j, k)``.
        prediction: Boolean, same shape.
        spacing: Distance of voxel centres along ``(i, j, k)``, in mm.

    Returns:
        In mm; None if a region is empty.
    """
    if not (reference.any() and prediction.any()):
        return None
    there, back = surface_distances(reference, prediction, spacing=spacing)
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def surface_distances(
    reference: np.ndarray, prediction: np.ndarray, *, spacing: Spacing
) -> tuple[np.ndarray, np.ndarray]:
    """Distance from each surface voxel of one region to the nearest of the other.

    A surface voxel belongs to the region and has a face neighbour that does not; beyond the edge
    of the array nothing belongs to it.

    Args:
        reference: Boolean, shape ``(i, j, k)``, not empty.
        prediction: Boolean, same shape, not empty.
        spacing: Distance of voxel centres along ``(i, j, k)``, in mm.

    Returns:
        In mm, one number for each surface voxel: from the reference, then from the prediction.
    """
    # No surface lies outside the box that holds both, so nothing is lost by looking there alone.
    (box,) = ndimage.find_objects((reference | prediction).astype(np.uint8))
    surfaces = [_find_surface(region[box]) for region in (reference, prediction)]
    to_reference, to_prediction = (
        ndimage.distance_transform_edt(~surface, sampling=spacing) for surface in surfaces
    )
    return to_prediction[surfaces[0]], to_reference[surfaces[1]]


def _find_surface(region: np.ndarray) -> np.ndarray:
    surface: np.ndarray = region & ~ndimage.binary_erosion(region)
    return surface
