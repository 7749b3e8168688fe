"""One order of axes for every file: a watermark outlives a program that turns the axes round."""

from __future__ import annotations

import numpy as np
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    io_orientation,
    ornt_transform,
)


def to_ras(voxels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The voxels with the axes that run closest to right, anterior and superior.

    Args:
        voxels: Shape ``(i, j, k)``.
        affine: Shape ``(4, 4)``; voxel index to world position, RAS+.
    """
    turned: np.ndarray = apply_orientation(voxels, io_orientation(affine))
    return turned


def from_ras(voxels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The inverse of :func:`to_ras`, for the affine that was given there."""
    back = ornt_transform(axcodes2ornt("RAS"), io_orientation(affine))
    turned: np.ndarray = apply_orientation(voxels, back)
    return turned
