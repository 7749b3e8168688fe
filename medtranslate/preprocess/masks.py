"""Where the patient is, from the source image alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from medtranslate.errors import VolumeReadError
from medtranslate.preprocess.morphology import FACES, fill_holes, find_box, keep_largest

_SMOOTHING_MM = 2.0
_SIGMAS = 4.0
_CLIP_PERCENTILE = 99.5
_FACES_WITHIN_SLICES = FACES & (np.arange(3) == 1)

MaskFinder = Callable[[np.ndarray, tuple[float, float, float]], np.ndarray]


def find_nonzero(voxels: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Voxels that are not 0, holes filled; for skull-stripped scans.

    Args:
        voxels: Shape ``(i, j, k)``, any unit.
        spacing: Not used; every mask finder takes it.

    Returns:
        Boolean, same shape.
    """
    return fill_holes(voxels != 0)


def find_head(voxels: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Otsu's threshold after smoothing, largest component, holes of axial slices filled; for heads.

    Args:
        voxels: Shape ``(i, j, k)``, any unit, brighter in the patient than in air.
        spacing: Voxel size in millimetres; smoothing is 2 mm wide along every axis.

    Returns:
        Boolean, same shape; empty if all voxels are equal.

    References:
        Otsu, IEEE Trans. Systems, Man, and Cybernetics 9:62, 1979.
    """
    clipped = np.minimum(voxels, np.percentile(voxels, _CLIP_PERCENTILE))
    smooth = _smooth(clipped, _SMOOTHING_MM / np.array(spacing))
    largest = keep_largest(smooth > threshold_otsu(smooth))
    # Slice by slice: sinuses and the neck open to air in 3-D but are closed in most axial slices.
    return fill_holes(largest, _FACES_WITHIN_SLICES)


def _smooth(voxels: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Gaussian smoothing in float64, skipped where only 0 is within reach, as around a brain."""
    smooth = np.zeros(voxels.shape)
    if voxels.any():
        low, high = find_box(voxels != 0)
        reach = np.ceil(_SIGMAS * sigmas).astype(int)
        box = tuple(map(slice, np.maximum(low - reach, 0), high + reach))
        ndimage.gaussian_filter(voxels[box], sigmas, output=smooth[box], truncate=_SIGMAS)
    return smooth


def cover_everything(voxels: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Every voxel; for sources without a background.

    Args:
        voxels: Shape ``(i, j, k)``.
        spacing: Not used; every mask finder takes it.

    Returns:
        Boolean, same shape, all true.
    """
    return np.ones(voxels.shape, dtype=bool)


MASKS: dict[str, MaskFinder] = {
    "nonzero": find_nonzero,
    "otsu": find_head,
    "none": cover_everything,
}


def find_mask(
    name: str, voxels: np.ndarray, spacing: tuple[float, float, float], *, where: str
) -> np.ndarray:
    """Run one mask finder of :data:`MASKS` and refuse an empty result.

    Args:
        name: Key of :data:`MASKS`.
        voxels: Shape ``(i, j, k)``, RAS+, so that the third axis runs along the body.
        spacing: Voxel size in millimetres.
        where: Names the scan in messages.

    Returns:
        Boolean, same shape, not empty.

    Raises:
        VolumeReadError: If no voxel is found.
    """
    mask = MASKS[name](voxels, spacing)
    if not mask.any():
        raise VolumeReadError(
            f"{where}: preprocess.mask '{name}' finds no voxel of the patient; is the image "
            "constant? Use another mask, or give one (preprocess.mask: given)"
        )
    return mask
