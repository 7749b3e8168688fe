"""Scores of change: whether what a prediction changes in a scan is what did change."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from medtranslate.metrics.regions import dice

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class ChangeScores:
    """How a predicted change of intensity agrees with the true one.

    Attributes:
        correlation: Pearson's, -1 to 1; None if either change is the same everywhere, as that of
            "no change" is.
        mae: Mean absolute error of the change, in the unit of the scans.
        rmse: Root mean square error, likewise.
    """

    correlation: float | None
    mae: float
    rmse: float


@dataclass(frozen=True)
class RegionChange:
    """How a predicted later region agrees with the true one; None where nothing is to be measured.

    Attributes:
        dice: Of the later region.
        changed_dice: Of the voxels that joined or left the region.
        precision: Part of the voxels predicted as new that are new.
        recall: Part of the new voxels that were predicted.
    """

    dice: float | None
    changed_dice: float | None
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class VolumeChange:
    """A region's volume change, predicted and true.

    Attributes:
        reference_ml: True change.
        prediction_ml: Predicted change.
        baseline_ml: Volume to begin with.
    """

    reference_ml: float
    prediction_ml: float
    baseline_ml: float

    @property
    def error_ml(self) -> float:
        """Predicted minus true change."""
        return self.prediction_ml - self.reference_ml

    @property
    def error_percent(self) -> float | None:
        """The same in percent of the volume to begin with; None if that is 0."""
        return 100.0 * self.error_ml / self.baseline_ml if self.baseline_ml else None

    @property
    def relative_error(self) -> float | None:
        """The error as a share of the true change, without sign; None if nothing changed."""
        return abs(self.error_ml / self.reference_ml) if self.reference_ml else None


def score_change(
    baseline: np.ndarray, reference: np.ndarray, prediction: np.ndarray, *, mask: np.ndarray
) -> ChangeScores:
    """Compare ``prediction - baseline`` with ``reference - baseline``.

    Args:
        baseline: The earlier scan, any shape.
        reference: The later scan, same shape and unit.
        prediction: What was predicted of it, same shape and unit.
        mask: Boolean, same shape, not empty.

    Raises:
        ValueError: If shapes differ or the mask is empty.

    Example:
        >>> scan = np.zeros((1, 1, 3))
        >>> later, guess = np.array([[[0.0, 1.0, 2.0]]]), np.array([[[0.0, 2.0, 4.0]]])
        >>> score_change(scan, later, guess, mask=later >= 0)
        ChangeScores(correlation=1.0, mae=1.0, rmse=1.2909944487358056)
    """
    _check_shapes(baseline, reference, prediction, mask)
    if not mask.any():
        raise ValueError("mask is empty: no voxel to average over")
    start = baseline[mask].astype(np.float64)
    true, found = reference[mask] - start, prediction[mask] - start
    error = found - true
    return ChangeScores(
        correlation=_correlate(true, found),
        mae=float(np.abs(error).mean()),
        rmse=float(np.sqrt((error**2).mean())),
    )


def _correlate(one: np.ndarray, two: np.ndarray) -> float | None:
    first, second = one - one.mean(), two - two.mean()
    size = math.sqrt(float((first**2).sum()) * float((second**2).sum()))
    return min(1.0, max(-1.0, float((first * second).sum()) / size)) if size > 0 else None


def _check_shapes(first: np.ndarray, *others: np.ndarray) -> None:
    for other in others:
        if other.shape != first.shape:
            raise ValueError(f"arrays have shapes {first.shape} and {other.shape}, expected one")


def score_region_change(
    baseline: np.ndarray, reference: np.ndarray, prediction: np.ndarray
) -> RegionChange:
    """Compare what joined and left a region.

    Args:
        baseline: Boolean, any shape; the region at the earlier visit.
        reference: Boolean, same shape; at the later one.
        prediction: Boolean, same shape; as predicted.

    Raises:
        ValueError: If shapes differ.

    Example:
        >>> before, later, guess = (np.array(v, bool) for v in ([1, 0, 0], [1, 1, 0], [1, 1, 1]))
        >>> score_region_change(before, later, guess)
        RegionChange(dice=0.8, changed_dice=0.6666666666666666, precision=0.5, recall=1.0)
    """
    _check_shapes(baseline, reference, prediction)
    new, guessed = reference & ~baseline, prediction & ~baseline
    hits = int(np.count_nonzero(new & guessed))
    return RegionChange(
        dice=_dice(reference, prediction),
        changed_dice=_dice(reference ^ baseline, prediction ^ baseline),
        precision=_share(hits, guessed),
        recall=_share(hits, new),
    )


def _dice(one: np.ndarray, two: np.ndarray) -> float | None:
    return dice(one, two) if one.any() or two.any() else None


def _share(hits: int, region: np.ndarray) -> float | None:
    total = int(np.count_nonzero(region))
    return hits / total if total else None


def measure_volume_change(
    baseline: np.ndarray, reference: np.ndarray, prediction: np.ndarray, *, spacing: Spacing
) -> VolumeChange:
    """Volumes from masks, or from fractions and probabilities, whose sum is their volume.

    Args:
        baseline: Boolean, or 0 to 1; shape ``(i, j, k)``.
        reference: Likewise, at the later visit.
        prediction: Likewise, as predicted.
        spacing: Voxel size, millimetres.
    """
    _check_shapes(baseline, reference, prediction)
    voxel_ml = math.prod(spacing) / 1000.0
    start, true, found = (
        float(region.sum(dtype=np.float64)) * voxel_ml
        for region in (baseline, reference, prediction)
    )
    return VolumeChange(true - start, found - start, start)


def cover_at_volume(probability: np.ndarray, reference: np.ndarray, *, voxels: int) -> float:
    """Part of the true later region within the most probable voxels, as many as planned.

    Plans of equal volume can be compared whatever their probabilities mean. Where equal
    probabilities straddle the limit, the share of them that fits counts.

    Args:
        probability: Any shape; higher is likelier. The planned region is among its voxels.
        reference: Boolean, same shape, not empty.
        voxels: How many are planned, 0 or more.

    Returns:
        0 to 1.

    Raises:
        ValueError: If shapes differ, the region is empty or the number is out of range.

    Example:
        >>> cover_at_volume(np.array([0.9, 0.5, 0.5, 0.1]), np.array([1, 1, 0, 0]) > 0, voxels=2)
        0.75
    """
    _check_shapes(probability, reference)
    if not reference.any():
        raise ValueError("the true region is empty: there is nothing to cover")
    if not 0 <= voxels <= probability.size:
        raise ValueError(f"voxels is {voxels}, expected 0 to {probability.size}")
    if voxels == 0:
        return 0.0
    limit = np.partition(probability, probability.size - voxels, axis=None)[
        probability.size - voxels
    ]
    above, level = probability > limit, probability == limit
    part = (voxels - np.count_nonzero(above)) / np.count_nonzero(level)
    covered = np.count_nonzero(above & reference) + part * np.count_nonzero(level & reference)
    return float(covered / np.count_nonzero(reference))
