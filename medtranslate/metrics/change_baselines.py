"""What a prediction of change must beat: no change, the cohort's mean change, a linear trend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

NO_CHANGE = "no change"
COHORT_CHANGE = "cohort-mean change"
LINEAR_TREND = "linear trend"

CHANGE_BASELINES = (NO_CHANGE, COHORT_CHANGE, LINEAR_TREND)
"""Names, in the order of tables."""

_NUM_BINS = 64
_FEWEST_YEARS = 1e-6


@dataclass(frozen=True, eq=False)
class CohortChange:
    """What happens to a voxel of an intensity on average, in the people of the training cohort.

    Attributes:
        intensities: Shape ``(n,)``, ascending; middles of the bins of the baseline's intensity.
        per_year: Shape ``(n,)``; mean change a year of voxels of that intensity.
    """

    intensities: np.ndarray
    per_year: np.ndarray

    def predict(self, baseline: np.ndarray, *, years: float) -> np.ndarray:
        """The scan after ``years``, same shape and unit as ``baseline``."""
        change = np.interp(baseline, self.intensities, self.per_year)
        later: np.ndarray = baseline + years * change
        return later


def fit_cohort_change(
    pairs: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, float]],
) -> CohortChange:
    """Average over pairs of visits, each pair counting by its number of voxels.

    Args:
        pairs: For each ``(baseline, follow_up, mask, years)``: arrays of one shape and unit, a
            boolean mask, and the interval.

    Raises:
        ValueError: If there is no voxel, or an interval is not above 0.
    """
    if any(years <= _FEWEST_YEARS for *_, years in pairs):
        raise ValueError("an interval is 0 or less; nothing can change in no time")
    starts = [baseline[mask].astype(np.float64) for baseline, _, mask, _ in pairs]
    if not sum(start.size for start in starts):
        raise ValueError("no training pair to take the mean change from")
    rates = [
        (follow_up[mask] - start) / years
        for start, (_, follow_up, mask, years) in zip(starts, pairs, strict=True)
    ]
    start, rate = np.concatenate(starts), np.concatenate(rates)
    edges = np.unique(np.quantile(start, np.linspace(0, 1, _NUM_BINS + 1)))
    index = np.clip(np.searchsorted(edges, start, side="right") - 1, 0, max(len(edges) - 2, 0))
    counts = np.bincount(index)
    held = counts > 0
    return CohortChange(
        intensities=np.bincount(index, start)[held] / counts[held],
        per_year=np.bincount(index, rate)[held] / counts[held],
    )


def continue_trend(
    earlier: np.ndarray, baseline: np.ndarray, *, years_between: float, years_ahead: float
) -> np.ndarray:
    """Go on as between the last two visits, voxel by voxel or volume by volume.

    Args:
        earlier: Scan or volumes at the visit before the baseline.
        baseline: Same shape and unit.
        years_between: From the earlier visit to the baseline, more than 0.
        years_ahead: From the baseline on.

    Raises:
        ValueError: If the visits are not apart.
    """
    if years_between <= 0:
        raise ValueError(f"years_between is {years_between}, expected more than 0")
    later: np.ndarray = baseline + (baseline - earlier) * (years_ahead / years_between)
    return later


def mean_growth_rate(volumes: Sequence[tuple[float, float, float]]) -> float:
    """Mean rate, per year, at which the logarithm of a region's volume changes in a cohort.

    Args:
        volumes: For each pair ``(before, after, years)``, each more than 0.

    Raises:
        ValueError: If there is no pair, or a number is not above 0.
    """
    if not volumes or min(min(row) for row in volumes) <= 0:
        raise ValueError(
            "volumes and intervals of the cohort must be above 0, of one pair at least"
        )
    return float(np.mean([np.log(after / before) / years for before, after, years in volumes]))


def resize_region(
    region: np.ndarray,
    *,
    factor: float,
    spacing: tuple[float, float, float],
    allowed: np.ndarray | None = None,
) -> np.ndarray:
    """The region grown or shrunk evenly on all sides to ``factor`` times its volume.

    Args:
        region: Boolean, shape ``(i, j, k)``, not empty.
        factor: 0 or more; 1 gives the region back.
        spacing: Voxel size, millimetres.
        allowed: Boolean, same shape; where it may grow into; everywhere if None.

    Returns:
        Boolean, same shape; the voxels that lie deepest inside or nearest outside.

    Raises:
        ValueError: If the region is empty or the factor negative.
    """
    if not region.any() or factor < 0:
        raise ValueError("resizing needs a region that is not empty and a factor of 0 or more")
    outside = ndimage.distance_transform_edt(~region, sampling=spacing)
    inside = ndimage.distance_transform_edt(region, sampling=spacing)
    depth = outside - inside
    if allowed is not None:
        depth = np.where(allowed | region, depth, np.inf)
    room = int(np.count_nonzero(np.isfinite(depth)))
    wanted = min(round(factor * int(np.count_nonzero(region))), room)
    resized = np.zeros(region.size, bool)
    resized[np.argsort(depth, axis=None, kind="stable")[:wanted]] = True
    return resized.reshape(region.shape)
