"""How near each voxel is to a region: a distance that a network can be shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def measure_nearness(
    region: np.ndarray, spacing: Sequence[float], *, reach_mm: float
) -> np.ndarray:
    """Nearness to a region: 1 on its border, 2 deep inside, 0 far away.

    ``1 - distance / reach`` with the signed Euclidean distance to the border in millimetres,
    negative inside. 0 means far, so padding with zeros invents no region.

    Args:
        region: Boolean, shape ``(i, j, k)``.
        spacing: Voxel size along each axis, millimetres.
        reach_mm: Distances beyond this are not told apart.

    Returns:
        Float32, same shape, 0 to 2; all 0 without a region.

    Example:
        >>> line = np.array([[[False, False, True, True, True]]])
        >>> measure_nearness(line, (1.0, 1.0, 2.0), reach_mm=10.0)
        array([[[0.7, 0.9, 1.1, 1.3, 1.5]]], dtype=float32)
    """
    if not region.any():
        return np.zeros(region.shape, dtype=np.float32)
    # A voxel's centre lies half a voxel from its border; along the finest axis on average.
    half = min(s for s, n in zip(spacing, region.shape, strict=True) if n > 1) / 2
    outside = ndimage.distance_transform_edt(~region, sampling=spacing)
    inside = ndimage.distance_transform_edt(region, sampling=spacing)
    distance = np.where(region, half - inside, outside - half)
    nearness: np.ndarray = np.clip(1 - distance / reach_mm, 0, 2).astype(np.float32)
    return nearness
