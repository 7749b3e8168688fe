"""One case to score: the real scan, the predictions and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from medtranslate.data.familiarity import Departure
from medtranslate.metrics.trajectories import CompositionError
from medtranslate.volume import IntensityScale, Volume


@dataclass(frozen=True, eq=False)
class DrawnFutures:
    """The region in futures that a model draws of one baseline.

    Attributes:
        volumes_ml: Shape ``(n,)``; volume of the region in each.
        chance: Shape ``(i, j, k)``, 0 to 1; the mean region, which is its probability map.
    """

    volumes_ml: np.ndarray
    chance: np.ndarray


@dataclass(frozen=True)
class Consistency:
    """Whether what a model says of one baseline at several times makes sense together.

    Attributes:
        composition: Both halves of the interval one after the other against the whole, voxels, by
            the model's one answer about the baseline.
        again: The same where the second half is simulated from the simulated scan of the first;
            None if the region was gone by then.
        again_dice: Dice of both later regions; None without a region.
        again_ml: Volume of the region in two halves minus that in one step; likewise.
        reversals: Quarters of the interval in which the region's volume runs against its course;
            None without a region, or if the pipeline declares none.
    """

    composition: CompositionError
    again: CompositionError | None
    again_dice: float | None
    again_ml: float | None
    reversals: int | None


@dataclass(frozen=True, eq=False)
class Followed:
    """What there is to score of a case that follows a person through time.

    Attributes:
        years: From the source to the reference.
        today: Boolean, shape ``(i, j, k)`` in the reference's file order; the region at the source.
        later: Same; at the reference.
        regions: Method to the chance of each voxel, 0 to 1, to belong to the later region.
        folded: Share of voxels at which the model's deformation folds.
        consistency: Of the model's futures at several times.
        drawn: The model's futures at the reference's time; None if none were drawn.
    """

    years: float
    today: np.ndarray | None
    later: np.ndarray | None
    regions: Mapping[str, np.ndarray]
    folded: float
    consistency: Consistency | None = None
    drawn: DrawnFutures | None = None


@dataclass(frozen=True)
class UnscoredCase:
    """A case that could not be scored.

    Attributes:
        case: Its name, as in the tables.
        why: One line.
    """

    case: str
    why: str


@dataclass(frozen=True, eq=False)
class ScoredCase:
    """One case to score.

    Attributes:
        name: Unique, fit for a table.
        subject: Person; the unit over which intervals are drawn.
        reference: The real scan; CT is known by its unit ``HU``.
        predictions: Method to prediction and the scale its sidecar records. The first is the
            model, the others are baselines; the same methods for every case.
        mask: Boolean, shape ``(i, j, k)``; the reference's foreground if None.
        source: What the prediction was made from, on the same grid, for the pictures.
        context: Facts for the cohort table of the report, column to value.
        labels: Region name to boolean, shape ``(i, j, k)`` in the reference's file order.
        labels_left_out: Labels that could not be used and why, for the report.
        windows: Chessboard, shape ``(i, j, k)``, that changes where windows of the prediction met;
            None if it was predicted as a whole or nobody knows.
        departures: How the source differs from the model's training scans; empty if unknown.
        sd: Standard deviation of the model's prediction, shape ``(i, j, k)``, in its stored unit;
            None if it was not asked for.
        followed: What a follow-up is scored by beside its image; None for other predictions.
    """

    name: str
    subject: str
    reference: Volume
    predictions: Mapping[str, tuple[Volume, IntensityScale | None]]
    mask: np.ndarray | None = None
    source: Volume | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    labels_left_out: tuple[str, ...] = ()
    windows: np.ndarray | None = None
    departures: tuple[Departure, ...] = ()
    sd: np.ndarray | None = None
    followed: Followed | None = None
