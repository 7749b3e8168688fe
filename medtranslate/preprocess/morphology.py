"""Shapes of regions: their box, holes, largest piece, and growing and shrinking in millimetres."""

from __future__ import annotations

from math import ceil

import numpy as np
from scipy import ndimage

FACES = ndimage.generate_binary_structure(3, 1)
"""Neighbours of a voxel that share a face with it."""

Spacing = tuple[float, float, float]


def find_box(region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First index of a region along each axis, and one past its last; it must not be empty."""
    taken = [np.flatnonzero(region.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    return np.array([along[0] for along in taken]), np.array([along[-1] + 1 for along in taken])


def fill_holes(region: np.ndarray, neighbours: np.ndarray = FACES) -> np.ndarray:
    """The region and all that no path from neighbour to neighbour leads out of.

    As SciPy's ``binary_fill_holes``, which floods step by step and takes 3 to 10 times as long.

    Args:
        region: Boolean, shape ``(i, j, k)``.
        neighbours: Boolean, shape ``(3, 3, 3)``; where a path may go from the middle.
    """
    filled = np.zeros_like(region)
    if region.any():
        box = tuple(map(slice, *find_box(region)))
        around = np.pad(~region[box], 1, constant_values=True)
        parts, _ = ndimage.label(around, neighbours)
        filled[box] = (parts != parts[:1, :1])[1:-1, 1:-1, 1:-1]
    return filled


def keep_largest(region: np.ndarray) -> np.ndarray:
    """The piece of a boolean region ``(i, j, k)`` that has the most voxels, connected by faces."""
    kept = np.zeros_like(region)
    if region.any():
        box = tuple(map(slice, *find_box(region)))
        pieces, _ = ndimage.label(region[box])
        kept[box] = pieces == np.argmax(np.bincount(pieces[region[box]]))
    return kept


def grow(region: np.ndarray, mm: float, spacing: Spacing) -> np.ndarray:
    """All voxels whose centre lies at most ``mm`` from that of a voxel of the region.

    To the bit SciPy's ``distance_transform_edt(~region, sampling=spacing) <= mm``, in a tenth of
    its time for a reach of a few voxels: lines along k are made longer, packed eight voxels to a
    byte, and laid over each other.

    Args:
        region: Boolean, shape ``(i, j, k)``.
        mm: Reach in millimetres.
        spacing: Voxel size in millimetres.

    Returns:
        Boolean, same shape.
    """
    near = _ball(mm, spacing)
    reach_i, reach_j, reach_k = (n // 2 for n in near.shape)
    lines = _lengthen(np.pad(region, ((reach_i,) * 2, (reach_j,) * 2, (0, 0))), reach_k)
    num_i, num_j, num_k = region.shape
    grown = np.zeros((num_i, num_j, lines[0].shape[2]), dtype=np.uint8)
    for i, j in np.argwhere(near.any(axis=2)):
        grown |= lines[near[i, j].sum() // 2][i : i + num_i, j : j + num_j]
    return np.unpackbits(grown, axis=2, count=num_k).view(bool)


def shrink(region: np.ndarray, mm: float, spacing: Spacing) -> np.ndarray:
    """All voxels farther than ``mm`` from every voxel outside the region; see :func:`grow`.

    Nothing is known of what lies beyond the array, so it takes nothing away.
    """
    return ~grow(~region, mm, spacing)


def _ball(mm: float, spacing: Spacing) -> np.ndarray:
    """Which steps from a voxel lead at most ``mm`` away; odd sizes, the voxel in the middle."""
    i, j, k = (s * np.arange(-ceil(mm / s), ceil(mm / s) + 1) for s in spacing)
    # The root as SciPy takes it: where a distance is exactly mm, rounding decides.
    inside: np.ndarray = np.sqrt((i**2)[:, None, None] + (j**2)[:, None] + k**2) <= mm
    return inside


def _lengthen(region: np.ndarray, most: int) -> list[np.ndarray]:
    """The region grown by 0 to ``most`` voxels along k, packed along k."""
    longer, packed = region.copy(), [np.packbits(region, axis=2)]
    for n in range(1, most + 1):
        longer[:, :, n:] |= region[:, :, :-n]
        longer[:, :, :-n] |= region[:, :, n:]
        packed.append(np.packbits(longer, axis=2))
    return packed
