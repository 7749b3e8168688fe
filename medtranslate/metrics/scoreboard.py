"""Scores of a model and its baselines on the same people, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoring import MEASURES, CaseScores
from medtranslate.metrics.statistics import (
    Bootstrap,
    Difference,
    Summary,
    compare,
    json_number,
    mean_by_subject,
    summarise,
)


@dataclass(frozen=True)
class ScoredPrediction:
    """One row of a scoreboard.

    Attributes:
        case: Unique name of the case.
        subject: Person; the unit over which intervals are drawn.
        method: The model, or a baseline.
        scores: What the prediction scored.
    """

    case: str
    subject: str
    method: str
    scores: CaseScores


@dataclass(frozen=True)
class Scoreboard:
    """Everything that was scored under one protocol.

    Attributes:
        rows: In the order scored; every case has the same methods.
        model: The method in question; the others are baselines.
        is_ct: Whether intensities are HU.
        protocol: The rule.

    Raises:
        ValueError: If there is no row, or cases were scored with different methods.
    """

    rows: tuple[ScoredPrediction, ...]
    model: str
    is_ct: bool
    protocol: Protocol

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("nothing was scored")
        expected = set(self.methods)
        if self.model not in expected:
            raise ValueError(f"model {self.model!r} was not scored, only {sorted(expected)}")
        for case in self.cases:
            found = [row.method for row in self.rows if row.case == case]
            if set(found) != expected or len(found) != len(expected):
                raise ValueError(f"case {case} has {found}, expected each of {sorted(expected)}")

    @property
    def methods(self) -> tuple[str, ...]:
        """The model first, then the baselines in the order scored."""
        names = dict.fromkeys([self.model, *(row.method for row in self.rows)])
        return tuple(names)

    @property
    def baselines(self) -> tuple[str, ...]:
        """Every method but the model."""
        return self.methods[1:]

    @property
    def cases(self) -> tuple[str, ...]:
        """Names of the cases, in the order scored."""
        return tuple(dict.fromkeys(row.case for row in self.rows))

    @property
    def subjects(self) -> dict[str, str]:
        """Case name to person."""
        return {row.case: row.subject for row in self.rows}

    def of(self, method: str) -> tuple[ScoredPrediction, ...]:
        """The rows of one method, in the order scored."""
        return tuple(row for row in self.rows if row.method == method)

    def by_subject(self, method: str, measure: str) -> dict[str, float]:
        """One value per person: the mean over the person's cases."""
        values = {row.case: row.scores.values[measure] for row in self.of(method)}
        return mean_by_subject(values, self.subjects)

    def summary(self, method: str, measure: str) -> Summary:
        """Mean, spread and interval over people."""
        values = list(self.by_subject(method, measure).values())
        return summarise(values, settings=self.bootstrap)

    def over_people(self, values: Mapping[str, float]) -> Summary:
        """One value per case, averaged within each person, then over people.

        Args:
            values: Case name to value; cases may be missing, but not all.
        """
        people = mean_by_subject(values, self.subjects)
        return summarise(list(people.values()), settings=self.bootstrap)

    def difference(self, baseline: str, measure: str) -> Difference:
        """Model minus ``baseline``, person by person."""
        return compare(
            self.by_subject(self.model, measure),
            self.by_subject(baseline, measure),
            goodness=lambda value: goodness(measure, value),
            settings=self.bootstrap,
        )

    def best_baseline(self, measure: str) -> str | None:
        """The baseline with the best mean; None if there is no baseline."""
        if not self.baselines:
            return None
        return max(
            self.baselines,
            key=lambda method: goodness(measure, self.summary(method, measure).mean),
        )

    def ranked_cases(self, measure: str = "psnr") -> tuple[ScoredPrediction, ...]:
        """The model's rows, worst first; equal ones by name."""
        return tuple(
            sorted(
                self.of(self.model),
                key=lambda row: (goodness(measure, row.scores.values[measure]), row.case),
            )
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``summary.json``, without words."""
        identical = {row.case: row.scores.num_identical for row in self.of(self.model)}
        return {
            "model": self.model,
            "protocol": {"name": self.protocol.name, "hash": self.protocol.fingerprint},
            "n": len(set(self.subjects.values())),
            "cases": len(self.cases),
            "intensity_unit": "HU" if self.is_ct else "scaled",
            "metrics": {name: self._measure_to_json(self.model, name) for name in MEASURES},
            "baselines": {
                method: {name: self._measure_to_json(method, name) for name in MEASURES}
                for method in self.baselines
            },
            "differences": {
                method: {name: self.difference(method, name).to_json() for name in MEASURES}
                for method in self.baselines
            },
            "best_baseline": {name: self.best_baseline(name) for name in MEASURES},
            "per_case": [
                {
                    "case": row.case,
                    "subject": row.subject,
                    "slices_scored": row.scores.num_scored,
                    "slices_identical": identical[row.case],
                    **{name: json_number(value) for name, value in row.scores.values.items()},
                }
                for row in self.of(self.model)
            ],
        }

    def _measure_to_json(self, method: str, measure: str) -> dict[str, Any]:
        return {
            **self.summary(method, measure).to_json(),
            "better": MEASURES[measure].better,
        }

    @property
    def bootstrap(self) -> Bootstrap:
        """How intervals are drawn, by the protocol."""
        return make_bootstrap(self.protocol)


def make_bootstrap(protocol: Protocol) -> Bootstrap:
    """How a protocol draws its intervals."""
    return Bootstrap(
        level=protocol.interval_level,
        num_resamples=protocol.interval_resamples,
        seed=protocol.interval_seed,
    )


def goodness(measure: str, value: float) -> float:
    """The value with its sign turned so that more is better; a bias is best at 0.

    Example:
        >>> goodness("mae", 3.0), goodness("me_volume", -2.0), goodness("psnr", 20.0)
        (-3.0, -2.0, 20.0)
    """
    better = MEASURES[measure].better
    if better == "higher":
        return value
    return -value if better == "lower" else -float(np.abs(value))
