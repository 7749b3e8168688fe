"""What happens on average to the people of a training cohort: the baseline to beat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtranslate.metrics.change_baselines import (
    CohortChange,
    fit_cohort_change,
    mean_growth_rate,
)
from medtranslate.preprocess.cache import PreparedArrays
from medtranslate.workflows.training_start import need_target, training_mask

COHORT_CHANGE_KEY = "cohort_change"
"""Key of the model's configuration that holds the mean change of the training people."""


@dataclass(frozen=True, eq=False)
class CohortMean:
    """The mean change of a cohort.

    Attributes:
        change: Of a voxel's intensity, normalised units.
        growth_rate: Of the labelled region's volume, per year, as the rate of its logarithm; None
            if regions are not labelled.
    """

    change: CohortChange
    growth_rate: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data for the model's configuration."""
        return {
            "intensities": self.change.intensities.tolist(),
            "per_year": self.change.per_year.tolist(),
            "growth_rate": self.growth_rate,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CohortMean:
        """The inverse of :meth:`to_json`; raises ValueError where the data does not fit."""
        try:
            change = CohortChange(np.array(data["intensities"]), np.array(data["per_year"]))
            rate = data["growth_rate"]
            return cls(change, None if rate is None else float(rate))
        except (KeyError, TypeError) as error:
            raise ValueError(f"a cohort's change needs intensities, got {data}") from error


def measure_cohort_mean(people: Iterable[tuple[str, PreparedArrays, float]]) -> CohortMean:
    """Average over training pairs.

    Args:
        people: Name, prepared scans and interval in years of each pair.
    """
    followed = list(people)
    pairs = [
        (
            arrays.source[0].numpy(),
            need_target(arrays, name)[0].numpy(),
            training_mask(arrays)[0].numpy() > 0,
            years,
        )
        for name, arrays, years in followed
    ]
    volumes = [
        (float(arrays.label.sum()), float(arrays.later.sum()), years)
        for _, arrays, years in followed
        if arrays.label is not None and arrays.later is not None
    ]
    there = [row for row in volumes if min(row) > 0]
    return CohortMean(fit_cohort_change(pairs), mean_growth_rate(there) if there else None)
