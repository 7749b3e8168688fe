"""Margins around today's region, and how much of a later region they cover."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage

_STEP_MM = 0.5


@dataclass(frozen=True)
class MarginCurve:
    """What each margin covers.

    Attributes:
        margins_mm: From 0 up, in steps of half a millimetre.
        covered: Share of the later region inside today's region plus the margin; rises.
    """

    margins_mm: tuple[float, ...]
    covered: tuple[float, ...]

    def smallest(self, coverage: float) -> float | None:
        """The smallest margin that covers so much; None if none does."""
        pairs = zip(self.margins_mm, self.covered, strict=True)
        return next((margin for margin, share in pairs if share >= coverage), None)


def distance_from(region: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Euclidean distance of each voxel's centre to the nearest one of the region, millimetres."""
    distance: np.ndarray = ndimage.distance_transform_edt(~region, sampling=spacing)
    return distance


def distance_within(
    region: np.ndarray, anatomy: np.ndarray, spacing: Sequence[float], *, reach_mm: float
) -> np.ndarray:
    """Length of the shortest way from the region that stays within the anatomy, millimetres.

    Ways run between the 26 neighbours of a voxel, so they are up to a quarter too long
    (Dijkstra, 1959).

    Args:
        region: Boolean, shape ``(i, j, k)``; where ways begin, even outside the anatomy.
        anatomy: Boolean, same shape; where they may pass.
        spacing: Voxel size along each axis.
        reach_mm: Longer ways are not followed.

    Returns:
        Same shape; infinite where nothing leads.
    """
    distance = np.where(region, 0.0, np.inf)
    passable = anatomy & ~region
    edge = region & ndimage.binary_dilation(passable, np.ones((3, 3, 3), bool))
    queue = [(0.0, (int(i), int(j), int(k))) for i, j, k in np.argwhere(edge)]
    moves = [
        (move, float(np.linalg.norm(np.multiply(move, spacing))))
        for move in product((-1, 0, 1), repeat=3)
        if any(move)
    ]
    while queue:
        far, place = heapq.heappop(queue)
        if far > distance[place]:
            continue
        for move, length in moves:
            near = (place[0] + move[0], place[1] + move[1], place[2] + move[2])
            if any(not 0 <= n < size for n, size in zip(near, region.shape, strict=True)):
                continue
            if passable[near] and far + length < min(distance[near], reach_mm + 1e-9):
                distance[near] = far + length
                heapq.heappush(queue, (far + length, near))
    return distance


def measure_margins(distance: np.ndarray, chance: np.ndarray, *, largest_mm: float) -> MarginCurve:
    """How much of a later region each margin covers.

    The covered share is the chance-weighted part of the later region within the margin: of the
    voxels that will belong to it, the part that the plan holds on average.

    Args:
        distance: Shape ``(i, j, k)``, millimetres from today's region.
        chance: Same shape, 0 to 1; of belonging to the later region.
        largest_mm: Where the curve ends.

    Raises:
        ValueError: If the later region is empty.
    """
    total = float(chance.sum(dtype=np.float64))
    if total <= 0:
        raise ValueError("the later region is empty: nothing to cover")
    margins = np.arange(0, largest_mm + _STEP_MM / 2, _STEP_MM)
    bins = np.searchsorted(margins, distance.ravel() - 1e-6)
    inside = np.bincount(bins, chance.ravel().astype(np.float64), minlength=len(margins) + 1)
    covered = np.cumsum(inside)[: len(margins)] / total
    return MarginCurve(tuple(margins.tolist()), tuple(covered.tolist()))
