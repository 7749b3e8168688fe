"""Means, intervals and paired differences over people."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

MIN_PEOPLE_FOR_INTERVAL = 2
_ROUNDING = 1e-12
"""People whose values differ by no more, relatively, are equal: BCa divides by their spread."""

IntervalMethod = Literal["percentile", "BCa"]


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn.

    Attributes:
        level: Share of the bootstrap means that the interval holds, 0..1.
        num_resamples: Draws.
        seed: Seed of the draws.
    """

    level: float = 0.95
    num_resamples: int = 10_000
    seed: int = 0


@dataclass(frozen=True)
class Summary:
    """One measure over people.

    Attributes:
        n: People.
        mean: Mean over people; infinite if one person's value is.
        sd: Standard deviation over people (n - 1); None for one person or an infinite value.
        interval: Bootstrap interval of the mean; None for one person or an infinite value.
        infinite: People whose value is infinite.
        mean_of_finite: Mean of the others; None if there is none.
    """

    n: int
    mean: float
    sd: float | None
    interval: tuple[float, float] | None
    infinite: int
    mean_of_finite: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data; an infinite mean becomes the word, which JSON has no number for."""
        return {
            "mean": json_number(self.mean),
            "sd": self.sd,
            "interval": None if self.interval is None else list(self.interval),
            "n": self.n,
            "infinite": self.infinite,
            "mean_of_finite": self.mean_of_finite,
        }


@dataclass(frozen=True)
class Difference:
    """Model minus baseline, person by person.

    Attributes:
        mean: Mean difference; infinite if one person's is, NaN if two are of opposite signs.
        interval: Bootstrap interval of the mean difference; None as in :class:`Summary`.
        n: People.
        better: People for whom the model is better.
    """

    mean: float
    interval: tuple[float, float] | None
    n: int
    better: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "mean": json_number(self.mean),
            "interval": None if self.interval is None else list(self.interval),
            "n": self.n,
            "better_for": self.better,
        }


def json_number(value: float) -> float | str:
    """The number itself, or ``"inf"``, ``"-inf"``, ``"nan"``: JSON has no such numbers."""
    return value if np.isfinite(value) else str(value)


def bootstrap_interval(
    values: Sequence[float],
    *,
    settings: Bootstrap | None = None,
    method: IntervalMethod = "percentile",
) -> tuple[float, float] | None:
    """Bootstrap interval of the mean, people drawn with replacement.

    Args:
        values: One finite number per person.
        settings: Level, draws and seed.
        method: ``percentile``, or ``BCa``: corrected for bias and skewness (Efron, JASA
            1987;82:171-185), which matters where people are few or one stands apart.

    Returns:
        Lower and upper end, or None when fewer than two people or an infinite value leave nothing
        to draw from.

    Example:
        >>> bootstrap_interval([3.0]) is None
        True
    """
    if len(values) < MIN_PEOPLE_FOR_INTERVAL or not np.isfinite(values).all():
        return None
    if np.ptp(values) <= _ROUNDING * np.abs(values).max():
        return float(min(values)), float(max(values))
    return _draw_interval(tuple(float(value) for value in values), settings or Bootstrap(), method)


@lru_cache(maxsize=1024)
def _draw_interval(
    values: tuple[float, ...], settings: Bootstrap, method: IntervalMethod
) -> tuple[float, float]:
    """The draws, once for each set of values: tables, files and report ask for the same ones."""
    from scipy.stats import bootstrap  # takes half a second, which one pair does not need

    result = bootstrap(
        (np.asarray(values),),
        np.mean,
        n_resamples=settings.num_resamples,
        confidence_level=settings.level,
        method=method,
        rng=np.random.default_rng(settings.seed),
    )
    low, high = result.confidence_interval
    return float(low), float(high)


def summarise(values: Sequence[float], *, settings: Bootstrap | None = None) -> Summary:
    """Mean, standard deviation and interval of one value per person.

    Raises:
        ValueError: If there is no value, or one is NaN.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not numbers.size:
        raise ValueError("no value to summarise")
    if np.isnan(numbers).any():
        raise ValueError("a value is NaN: it cannot be averaged")
    finite = numbers[np.isfinite(numbers)]
    complete = finite.size == numbers.size
    return Summary(
        n=numbers.size,
        mean=float(numbers.mean()) if complete else float("inf"),
        sd=float(numbers.std(ddof=1)) if complete and numbers.size > 1 else None,
        interval=bootstrap_interval(values, settings=settings),
        infinite=numbers.size - finite.size,
        mean_of_finite=float(finite.mean()) if finite.size else None,
    )


def wilson_interval(share: float, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share of people; unlike drawn ones it has a width where all are alike.

    Args:
        share: Of the people, 0 to 1; a person may count in part.
        n: People, at least one.
        level: Chance with which the interval holds the true share.

    Returns:
        Lower and upper end, within 0 and 1.

    Raises:
        ValueError: If the share is out of range, or there is nobody.

    References:
        Wilson, J Am Stat Assoc 1927;22:209-212.

    Example:
        >>> low, high = wilson_interval(1.0, 5)
        >>> f"{low:.3f} to {high:.3f}"
        '0.566 to 1.000'
    """
    if not 0 <= share <= 1 or n < 1:
        raise ValueError(f"share is {share} of {n} people, expected 0 to 1 of at least one")
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = share + z**2 / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def compare(
    model: Mapping[str, float],
    baseline: Mapping[str, float],
    *,
    goodness: Callable[[float], float],
    settings: Bootstrap | None = None,
) -> Difference:
    """Paired difference ``model - baseline`` over the people both were scored on.

    Args:
        model: Person to value.
        baseline: Person to value, the same people.
        goodness: Turns a value into one of which more is better.
        settings: How the interval is drawn.

    Raises:
        ValueError: If the two were not scored on the same people.
    """
    differences = list(pair_differences(model, baseline).values())
    with np.errstate(invalid="ignore"):  # +inf and -inf together have no mean
        mean = float(np.mean(differences))
    return Difference(
        mean=mean,
        interval=bootstrap_interval(differences, settings=settings),
        n=len(differences),
        better=sum(goodness(model[one]) > goodness(baseline[one]) for one in model),
    )


def pair_differences(model: Mapping[str, float], baseline: Mapping[str, float]) -> dict[str, float]:
    """``model - baseline`` for each person, sorted by person; two infinite values differ by 0.

    Raises:
        ValueError: If the two were not scored on the same people.

    Example:
        >>> pair_differences({"b": 21.0, "a": 18.0}, {"a": 17.0, "b": 19.0})
        {'a': 1.0, 'b': 2.0}
    """
    if not model or set(model) != set(baseline):
        raise ValueError("model and baseline were not scored on the same people")
    return {
        subject: 0.0 if model[subject] == baseline[subject] else model[subject] - baseline[subject]
        for subject in sorted(model)
    }


def mean_by_subject(values: Mapping[str, float], subjects: Mapping[str, str]) -> dict[str, float]:
    """Average the cases of each person, so that a person with many visits counts once.

    Args:
        values: Case name to value.
        subjects: Case name to subject.
    """
    grouped: dict[str, list[float]] = {}
    for case, value in values.items():
        grouped.setdefault(subjects[case], []).append(value)
    return {subject: float(np.mean(grouped[subject])) for subject in sorted(grouped)}
