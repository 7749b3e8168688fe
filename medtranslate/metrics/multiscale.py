"""Structural similarity over several scales, inside a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from medtranslate.metrics.similarity import iterate_slabs

_MIN_SIZE = 97
"""Voxels that five scales need along each direction; thinner volumes are padded with their edge."""


def multiscale_ssim(
    reference: np.ndarray,
    prediction: np.ndarray,
    mask: np.ndarray,
    *,
    data_range: float,
    weights: Sequence[float],
    size: int = 7,
    k1: float = 0.01,
    k2: float = 0.03,
) -> float:
    """Multi-scale SSIM as the SynthRAD2025 challenge computes it.

    At each scale, luminance, contrast and structure in a uniform window (sample covariance) are
    clipped at 0, multiplied and raised to the scale's weight; the map is averaged over the mask
    without a border of half a window. The averages, clipped to 0..1, are multiplied. Images are
    halved by the mean of 2 x 2 x 2 voxels, the mask by every other voxel, as the file counts them.
    Wang et al. 2003 (eq. 7) let luminance enter at the coarsest scale only; here it enters at all.

    Args:
        reference: Shape ``(i, j, k)``, not negative, background outside the mask.
        prediction: Same shape and unit.
        mask: Boolean, same shape.
        data_range: Range of the intensities.
        weights: Exponent of each scale, finest first.
        size: Width of the window in voxels, odd.
        k1: Constant of the luminance term, relative to the data range.
        k2: Constant of the contrast term, relative to the data range.

    Returns:
        Similarity, 0..1, higher is better; NaN if the mask leaves no voxel at some scale.
    """
    padding = [_missing(n) for n in reference.shape]
    x, y, inside = (np.pad(each, padding, mode="edge") for each in (reference, prediction, mask))
    constants = (k1 * data_range) ** 2, (k2 * data_range) ** 2
    result = 1.0
    for weight in weights:
        counted = without_border(inside, size // 2)
        total = 0.0
        for box, here in iterate_slabs(counted, margin=size // 2):
            similarity = _similarity(x[box], y[box], here, size=size, constants=constants)
            total += float(np.sum(similarity**weight))
        number = int(np.count_nonzero(counted))
        result *= float(np.clip(total / number, 0.0, 1.0)) if number else np.nan
        x, y, inside = _halve(x), _halve(y), inside[::2, ::2, ::2]
    return result


def without_border(mask: np.ndarray, border: int) -> np.ndarray:
    """The mask with every voxel nearer than ``border`` to the edge of the array taken out."""
    kept = np.zeros_like(mask)
    inner = tuple(slice(border, max(n - border, border)) for n in mask.shape)
    kept[inner] = mask[inner]
    return kept


def _missing(size: int) -> tuple[int, int]:
    """Voxels to add before and after a direction."""
    short = max(_MIN_SIZE - size, 0)
    return short // 2, short - short // 2


def _halve(image: np.ndarray) -> np.ndarray:
    """Every other voxel, each the mean of itself and its predecessors; 0 lies before the first."""
    halved: np.ndarray = ndimage.uniform_filter(image, 2, mode="constant")[::2, ::2, ::2]
    return halved


def _similarity(
    x: np.ndarray, y: np.ndarray, where: np.ndarray, *, size: int, constants: tuple[float, float]
) -> np.ndarray:
    """Luminance times contrast times structure at the voxels of ``where``, each at least 0."""

    def mean(image: np.ndarray) -> np.ndarray:
        chosen: np.ndarray = ndimage.uniform_filter(image, size)[where]
        return chosen

    c1, c2 = constants
    sample = size**x.ndim / (size**x.ndim - 1)
    mean_x, mean_y = mean(x), mean(y)
    var_x = sample * (mean(x * x) - mean_x**2)
    var_y = sample * (mean(y * y) - mean_y**2)
    covariance = sample * (mean(x * y) - mean_x * mean_y)
    spread = np.sqrt(np.clip(var_x, 0, None)) * np.sqrt(np.clip(var_y, 0, None))
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    contrast = (2 * spread + c2) / (var_x + var_y + c2)
    structure = (covariance + c2 / 2) / (spread + c2 / 2)
    parts = np.clip(np.stack([luminance, contrast, structure]), 0, None)
    product: np.ndarray = parts.prod(axis=0)
    return product
