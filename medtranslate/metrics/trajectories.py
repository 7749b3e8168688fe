"""Whether predictions at several times make sense together: folds, composition, order, spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Nominal coverages at which the spread of samples is checked."""


@dataclass(frozen=True)
class SpreadCalibration:
    """How often the truth lies within the central part of the samples.

    Attributes:
        levels: Nominal coverages.
        coverages: Measured ones.
    """

    levels: tuple[float, ...]
    coverages: tuple[float, ...]

    @property
    def error(self) -> float:
        """Mean absolute difference of measured and nominal coverage, 0 to 1."""
        return float(np.mean(np.abs(np.subtract(self.coverages, self.levels))))


def jacobian_determinant(displacement: np.ndarray) -> np.ndarray:
    """Local volume of the map ``x + d(x)``: 1 keeps it, 0 or less folds space.

    Args:
        displacement: Shape ``(3, i, j, k)``, in voxels along ``(i, j, k)``.

    Returns:
        Shape ``(i, j, k)``.
    """
    slopes = np.stack([np.stack(np.gradient(part)) for part in displacement.astype(np.float64)])
    determinant: np.ndarray = np.linalg.det(np.moveaxis(slopes, (0, 1), (-2, -1)) + np.eye(3))
    return determinant


def measure_folding(displacement: np.ndarray, *, mask: np.ndarray | None = None) -> float:
    """Share of voxels, 0 to 1, whose Jacobian determinant is 0 or less.

    Args:
        displacement: Shape ``(3, i, j, k)``, in voxels.
        mask: Boolean, shape ``(i, j, k)``; all voxels if None.

    Raises:
        ValueError: If the mask is empty.
    """
    folded = jacobian_determinant(displacement) <= 0
    if mask is not None and not mask.any():
        raise ValueError("mask is empty: no voxel to look at")
    return float(np.mean(folded if mask is None else folded[mask]))


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Displacement that pulls through ``second``, then through ``first``: ``s(x) + f(x + s(x))``.

    Args:
        first: Shape ``(3, i, j, k)``, in voxels; of the earlier interval.
        second: Likewise; of the later one.
    """
    target = np.indices(first.shape[1:]) + second
    pulled = [ndimage.map_coordinates(part, target, order=1, mode="nearest") for part in first]
    composed: np.ndarray = second + np.stack(pulled)
    return composed


def composition_error(
    first: np.ndarray, second: np.ndarray, whole: np.ndarray, *, mask: np.ndarray
) -> float:
    """Largest distance, in voxels, between both intervals one after the other and the whole one.

    Args:
        first: Displacement of the first interval, shape ``(3, i, j, k)``, voxels.
        second: Of the second interval.
        whole: Of both.
        mask: Boolean, shape ``(i, j, k)``, not empty; where to look.

    Raises:
        ValueError: If the mask is empty.
    """
    if not mask.any():
        raise ValueError("mask is empty: no voxel to look at")
    difference = compose(first, second) - whole
    return float(np.sqrt((difference**2).sum(axis=0))[mask].max())


def count_reversals(volumes: Sequence[float], *, rising: bool, tolerance: float = 0.0) -> int:
    """Steps of a trajectory that run against its declared direction.

    Args:
        volumes: In the order of time.
        rising: Whether they are to rise; else they are to fall.
        tolerance: Steps back that are no larger do not count, unit of the volumes.

    Example:
        >>> count_reversals([1.0, 2.0, 1.5, 3.0], rising=True)
        1
    """
    steps = np.diff(volumes) * (1.0 if rising else -1.0)
    return int(np.count_nonzero(steps < -tolerance))


def check_spread(
    samples: np.ndarray, reference: np.ndarray, *, levels: tuple[float, ...] = LEVELS
) -> SpreadCalibration:
    """How often the truth lies within the samples' central intervals.

    The interval of level ``q`` runs between the sample quantiles ``(1 - q) / 2`` and
    ``(1 + q) / 2``. Few samples make narrow intervals: with ``s`` of them even their whole range
    holds a further one only with chance ``(s - 1) / (s + 1)``.

    Args:
        samples: Shape ``(s, n)``; ``s`` futures of each of ``n`` quantities.
        reference: Shape ``(n,)``; the truth.
        levels: Nominal coverages.

    Raises:
        ValueError: If shapes do not fit, or there are fewer than two samples.
    """
    if samples.ndim != 2 or samples.shape[1:] != reference.shape or samples.shape[0] < 2:
        raise ValueError(
            f"samples have shape {samples.shape} and the truth {reference.shape}; expected (s, n) "
            "with at least 2 samples, and (n,)"
        )
    coverages = []
    for level in levels:
        low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
        coverages.append(float(np.mean((reference >= low) & (reference <= high))))
    return SpreadCalibration(levels, tuple(coverages))
