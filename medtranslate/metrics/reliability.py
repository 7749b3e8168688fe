"""Reliability: whether voxels that were given a chance belong to the region as often as it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_BINS = 10
"""Bins of equal width between 0 and 1."""


@dataclass(frozen=True)
class Reliability:
    """Chance and frequency, bin by bin; bins without a voxel hold NaN.

    Attributes:
        chance: Mean chance of the voxels of each bin.
        frequency: Share of them that belong to the region.
        counts: How many they are.
    """

    chance: tuple[float, ...]
    frequency: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def error(self) -> float | None:
        """Expected calibration error, 0 to 1: mean distance of both, bins weighing by voxels.

        None if no voxel was in doubt.

        References:
            Naeini, Cooper & Hauskrecht, AAAI 2015.
        """
        total = sum(self.counts)
        if not total:
            return None
        distance = np.abs(np.subtract(self.chance, self.frequency))
        return float(np.nansum(distance * self.counts) / total)


def measure_reliability(chance: np.ndarray, reference: np.ndarray) -> Reliability:
    """Compare chances with what came true, in voxels in doubt: those above 0 and below 1.

    Voxels that are certain would drown the others: they are nearly all, and nearly always right.

    Args:
        chance: Any shape, 0 to 1.
        reference: Boolean, same shape; what came true.

    Raises:
        ValueError: If shapes differ.

    Example:
        >>> found = measure_reliability(np.array([0.0, 0.5, 0.5, 1.0]), np.array([0, 1, 0, 1]) > 0)
        >>> found.counts[5], found.error
        (2, 0.0)
    """
    if chance.shape != reference.shape:
        raise ValueError(f"chance has shape {chance.shape}, reference {reference.shape}")
    doubt = (chance > 0) & (chance < 1)
    said, true = chance[doubt].astype(np.float64), reference[doubt]
    index = np.minimum((said * NUM_BINS).astype(int), NUM_BINS - 1)
    counts = np.bincount(index, minlength=NUM_BINS)
    filled = np.where(counts > 0, counts, np.nan)
    return Reliability(
        tuple((np.bincount(index, said, NUM_BINS) / filled).tolist()),
        tuple((np.bincount(index, true, NUM_BINS) / filled).tolist()),
        tuple(counts.tolist()),
    )
