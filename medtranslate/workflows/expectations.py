"""What would be expected of a follow-up without a model: no change, the cohort's, the trend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtranslate.data.visits import Visit, VisitPair
from medtranslate.metrics.change_baselines import (
    COHORT_CHANGE,
    LINEAR_TREND,
    NO_CHANGE,
    continue_trend,
    resize_region,
)
from medtranslate.pipeline import Pipeline
from medtranslate.preprocess.loading import voxels_of
from medtranslate.preprocess.native_motion import carry_image
from medtranslate.preprocess.preparation import Prepared, prepare
from medtranslate.volume import Volume
from medtranslate.workflows.cohort_change import COHORT_CHANGE_KEY, CohortMean


@dataclass(frozen=True, eq=False)
class Expectation:
    """A later scan and region as expected without a model.

    Attributes:
        change: Of the normalised intensity, shape ``(i, j, k)`` of the model grid; None for none.
        growth: Later volume of the region over that today.
    """

    change: np.ndarray | None = None
    growth: float = 1.0

    def scan(self, today: Volume, prepared: Prepared) -> np.ndarray:
        """The later scan on the baseline's own grid and in its own unit."""
        voxels = today.voxels.astype(np.float32)
        if self.change is None:
            return voxels
        carried = carry_image(self.change, prepared.grid, today.geometry)
        later: np.ndarray = voxels + np.float32(prepared.source_scale.factor) * carried
        return later

    def region(self, region: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        """The later region, 0 or 1: today's, grown or shrunk evenly on all sides."""
        if not region.any():
            return region.astype(np.float32)
        resized = resize_region(region, factor=self.growth, spacing=spacing)
        return resized.astype(np.float32)


def expect(
    config: Mapping[str, Any],
    pipeline: Pipeline,
    pair: VisitPair,
    prepared: Prepared,
    *,
    trend: bool,
) -> dict[str, Expectation]:
    """Every expectation that can be had, by name.

    Args:
        config: The model's; a model that does not know its cohort's mean change has none.
        pipeline: The job it was trained by.
        pair: The visits; the follow-up's scan is not looked at.
        prepared: The baseline on the model grid.
        trend: Whether to go on as since the visit before the baseline, which must exist.
    """
    found = {NO_CHANGE: Expectation()}
    if COHORT_CHANGE_KEY in config:
        mean = CohortMean.from_json(config[COHORT_CHANGE_KEY])
        found[COHORT_CHANGE] = _follow_cohort(mean, prepared, pair.interval_years)
    if trend:
        found[LINEAR_TREND] = _follow_trend(pipeline, pair, prepared)
    return found


def _follow_cohort(mean: CohortMean, prepared: Prepared, years: float) -> Expectation:
    source, inside = voxels_of(prepared.source), voxels_of(prepared.mask) > 0
    change = mean.change.predict(source, years=years) - source
    rate = 0.0 if mean.growth_rate is None else mean.growth_rate
    return Expectation(np.where(inside, change, 0.0), float(np.exp(rate * years)))


def _follow_trend(pipeline: Pipeline, pair: VisitPair, prepared: Prepared) -> Expectation:
    last = pair.earlier[-1]
    before = prepare_earlier(pipeline, pair, last)
    times = {
        "years_between": pair.baseline.years - last.years,
        "years_ahead": pair.interval_years,
    }
    source, inside = voxels_of(prepared.source), voxels_of(prepared.mask) > 0
    if before.target is None:
        raise ValueError("an earlier visit without a scan cannot be followed")
    change = continue_trend(voxels_of(before.target), source, **times) - source
    growth = 1.0
    if before.label is not None and before.later is not None:
        now, then = (float(voxels_of(one).sum()) for one in (before.label, before.later))
        volume = continue_trend(np.array(then), np.array(now), **times)
        growth = max(float(volume) / now, 0.0) if now else 1.0
    return Expectation(np.where(inside, change, 0.0), growth)


def prepare_earlier(pipeline: Pipeline, pair: VisitPair, earlier: Visit) -> Prepared:
    """The baseline on the model grid, with an earlier visit in the place of the target."""
    both = pair.baseline.labels is not None and earlier.labels is not None
    return prepare(
        pipeline.preprocess,
        name=pair.name,
        source=pair.baseline.scan,
        target=earlier.scan,
        label=pair.baseline.labels if both else None,
        later=earlier.labels if both else None,
    )
