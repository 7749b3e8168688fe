"""Tests of paired differences between two methods, one number a person.

With few people the tests can say little, whatever the scores: :func:`describe_power` says how
little, and belongs beside every table of them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from scipy.special import gammaln

from medtranslate.metrics.statistics import Bootstrap, bootstrap_interval, json_number

SIGNIFICANCE_LEVEL = 0.05

Key = TypeVar("Key", bound=Hashable)

_MIN_PEOPLE_FOR_TEST = 2
_MIN_PEOPLE_FOR_EFFECT = 3


@dataclass(frozen=True)
class PairedTest:
    """What the differences of the same people say.

    Whatever cannot be computed (one person, an infinite difference) is None.

    Attributes:
        n: People.
        mean: Mean difference, in the unit of the measure; NaN if two are infinite and opposite.
        percentile: Percentile bootstrap interval of the mean.
        bca: Bias-corrected and accelerated interval of the mean.
        wilcoxon_p: Two-sided p of the signed-rank test.
        sign_flip_p: Two-sided p of the sign-flip permutation test of the mean.
        holm_p: ``sign_flip_p`` after Holm's correction for the family it was tested in.
        effect_size: Hedges' g_z of the differences, without unit.
    """

    n: int
    mean: float
    percentile: tuple[float, float] | None
    bca: tuple[float, float] | None
    wilcoxon_p: float | None
    sign_flip_p: float | None
    holm_p: float | None
    effect_size: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data; intervals as lists, an infinite mean as a word."""
        plain = {**vars(self), "mean": json_number(self.mean)}
        return {key: list(one) if isinstance(one, tuple) else one for key, one in plain.items()}


def examine_family(
    differences: Mapping[Key, Sequence[float]], *, settings: Bootstrap | None = None
) -> dict[Key, PairedTest]:
    """Test several differences and correct for there being several.

    Args:
        differences: Name of a comparison to one difference per person. All are one family: the
            correction counts every one of them, also those that cannot be tested.
        settings: Level and draws of intervals; as many sign flips are drawn where there are more
            than can be listed.

    Returns:
        The tests by the same names.
    """
    settings = settings or Bootstrap()
    tests = {key: _examine(values, settings) for key, values in differences.items()}
    corrected = correct_holm(
        [1.0 if test.sign_flip_p is None else test.sign_flip_p for test in tests.values()]
    )
    return {
        key: replace(test, holm_p=None if test.sign_flip_p is None else p)
        for (key, test), p in zip(tests.items(), corrected, strict=True)
    }


def _examine(values: Sequence[float], settings: Bootstrap) -> PairedTest:
    differences = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # +inf and -inf together have no mean
        mean = float(differences.mean())
    testable = differences.size >= _MIN_PEOPLE_FOR_TEST and bool(np.isfinite(differences).all())
    return PairedTest(
        n=differences.size,
        mean=mean,
        percentile=bootstrap_interval(values, settings=settings),
        bca=bootstrap_interval(values, settings=settings, method="BCa"),
        wilcoxon_p=signed_rank_p(differences) if testable else None,
        sign_flip_p=sign_flip_p(differences, settings=settings) if testable else None,
        holm_p=None,
        effect_size=paired_effect_size(differences),
    )


def signed_rank_p(differences: np.ndarray) -> float:
    """Two-sided p of the Wilcoxon signed-rank test; people without a difference are left out.

    Exact for up to 50 people, or 13 if ranks are tied; for more the normal approximation.

    Args:
        differences: Shape ``(n,)``, finite, n at least 2.

    Returns:
        0 to 1; 1 if nobody differs.
    """
    from scipy.stats import wilcoxon  # half a second, not needed for one person

    unequal = differences[differences != 0]
    return float(wilcoxon(unequal, method="auto").pvalue) if unequal.size else 1.0


def sign_flip_p(differences: np.ndarray, *, settings: Bootstrap | None = None) -> float:
    """Two-sided p of the sign-flip permutation test of the mean difference.

    If neither method were better, each person's difference could as well have had the other sign.
    p is the share of the ``2^n`` assignments of signs whose mean is at least as far from 0. Where
    there are more assignments than draws, they are drawn at random, the observed one counted in.

    Args:
        differences: Shape ``(n,)``, finite, n at least 2.
        settings: Number of draws; seed.

    Returns:
        0 to 1; never below :func:`smallest_p`.

    Example:
        >>> sign_flip_p(np.array([1.0, 2.0, 4.0]))
        0.25
    """
    from scipy.stats import permutation_test  # as slow to import

    settings = settings or Bootstrap()
    result = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=settings.num_resamples,
        rng=np.random.default_rng(settings.seed),
    )
    return float(result.pvalue)


def smallest_p(n: int, *, settings: Bootstrap | None = None) -> float:
    """The smallest p that :func:`sign_flip_p` can give for n people, whatever their scores.

    Example:
        >>> smallest_p(3)
        0.25
    """
    settings = settings or Bootstrap()
    exact = 2**n <= settings.num_resamples
    return 2 / 2**n if exact else 2 / (settings.num_resamples + 1)


def correct_holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for being several, by Holm's step-down rule.

    The k-th smallest of m is multiplied by ``m - k + 1``; none may fall below the one before it or
    exceed 1. Holds the chance of any false finding in the family, whatever the tests' dependence
    (Holm, Scand J Stat 1979;6:65-70).

    Example:
        >>> correct_holm([0.25, 0.015625, 0.0625])
        [0.25, 0.046875, 0.125]
    """
    ordered = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    stepped = np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[ordered] * factors)
    corrected = np.empty(len(p_values))
    corrected[ordered] = np.minimum(stepped, 1.0)
    return [float(value) for value in corrected]


def paired_effect_size(differences: np.ndarray) -> float | None:
    """Hedges' g_z: mean difference over the SD of the differences, corrected for few people.

    ``g_z = J d_z``, ``d_z = mean / sd`` with n - 1 in the sd, ``J = Γ(m/2) / (√(m/2) Γ((m-1)/2))``,
    ``m = n - 1`` (Hedges, J Educ Stat 1981;6:107-128). It is relative to how much the *difference*
    varies over people, not the scores, so it is larger than Cohen's d of unpaired groups.

    Args:
        differences: Shape ``(n,)``.

    Returns:
        The effect size, of the sign of the mean; None for fewer than three people, infinite
        differences, or equal ones, which have no spread to compare with.
    """
    n = differences.size
    if n < _MIN_PEOPLE_FOR_EFFECT or not np.isfinite(differences).all():
        return None
    if np.ptp(differences) == 0:
        return None
    half = (n - 1) / 2
    correction = np.exp(gammaln(half) - gammaln(half - 0.5)) / np.sqrt(half)
    return float(correction * differences.mean() / differences.std(ddof=1))


def describe_power(n: int, *, family: int, settings: Bootstrap | None = None) -> str:
    """What n people permit to say, in one or two plain sentences.

    Args:
        n: People.
        family: How many tests Holm's correction counts.
        settings: Number of draws of the sign-flip test.
    """
    if n < _MIN_PEOPLE_FOR_TEST:
        return "One person: there is nothing to test, and nothing can be said about other people."
    least = smallest_p(n, settings=settings)
    start = (
        f"With n = {n} people no two-sided sign-flip test can give a p below "
        f"{least:.2g}, whatever the scores"
    )
    corrected = min(1.0, family * least)
    if least > SIGNIFICANCE_LEVEL:
        return f"{start}: n is too small to say anything about people who were not scored."
    if corrected > SIGNIFICANCE_LEVEL:
        return (
            f"{start}, nor one below {corrected:.2g} after the correction for {family} tests: n is "
            f"too small for a finding at {SIGNIFICANCE_LEVEL:g} that counts how many tests were "
            "made."
        )
    return (
        f"{start}, nor one below {corrected:.2g} after the correction for {family} tests. Read the "
        "interval first: it says how large the difference may be, p only how surprising it is."
    )
