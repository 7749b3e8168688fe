"""Repairs that change voxels: filling in missing slices, and undoing a gantry tilt."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def interpolate_missing(voxels: np.ndarray, *, present: Sequence[int]) -> None:
    """Fill the other slices in place, linearly between the nearest present ones.

    Args:
        voxels: Shape ``(i, j, k)``; changed.
        present: Sorted ``k`` of the slices that are there, the first and the last among them.
    """
    for low, high in itertools.pairwise(present):
        for k in range(low + 1, high):
            share = (k - low) / (high - low)
            voxels[:, :, k] = (1 - share) * voxels[:, :, low] + share * voxels[:, :, high]


def move_slice(
    values: np.ndarray, shift: np.ndarray, *, shape: tuple[int, int], background: float
) -> np.ndarray:
    """A slice put ``shift`` voxels into a larger one, linearly interpolated.

    Args:
        values: Shape ``(i, j)``.
        shift: Voxels along ``(i, j)``, not negative.
        shape: Of the result.
        background: Value around the slice.
    """
    room = np.full(shape, background)
    room[: values.shape[0], : values.shape[1]] = values
    moved: np.ndarray = ndimage.shift(room, shift, order=1, mode="constant", cval=background)
    return moved
