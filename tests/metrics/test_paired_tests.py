"""Paired tests, against scipy and against every sign written out."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from scipy import stats

from medtranslate.metrics.paired_tests import (
    correct_holm,
    describe_power,
    examine_family,
    paired_effect_size,
    sign_flip_p,
    signed_rank_p,
    smallest_p,
)
from medtranslate.metrics.statistics import Bootstrap

SIX = np.array([0.9, 2.1, -0.4, 1.7, 0.35, 3.2])
TIED = np.array([1.0, 1.0, -1.0, 2.0, 2.0, 0.0, 3.0])
MANY = np.random.default_rng(5).normal(0.5, 1.0, size=30)
INFINITE = float("inf")


def all_signs(n):
    return np.array(list(itertools.product((1.0, -1.0), repeat=n)))


def p_by_listing(statistic, signed):
    """Share of all assignments of signs as far from the middle as the observed one."""
    observed = statistic(signed)
    found = [statistic(signs * np.abs(signed)) for signs in all_signs(len(signed))]
    return np.mean([abs(value) >= abs(observed) - 1e-12 for value in found])


def signed_rank_sum(differences):
    return float(np.sum(np.sign(differences) * stats.rankdata(np.abs(differences))))


@pytest.mark.parametrize("values", [SIX, -SIX, TIED, np.array([1.0, 2.0])])
def test_sign_flips_are_all_listed(values):
    np.testing.assert_allclose(sign_flip_p(values), p_by_listing(np.mean, values), rtol=1e-12)


@pytest.mark.parametrize("values", [SIX, -SIX, TIED, np.array([1.0, 2.0])])
def test_signed_ranks_are_exact_also_with_ties_and_without_the_people_who_do_not_differ(values):
    unequal = values[values != 0]

    found = signed_rank_p(values)

    np.testing.assert_allclose(found, p_by_listing(signed_rank_sum, unequal), rtol=1e-12)


def test_signed_ranks_of_many_people_are_scipy_s():
    exact = stats.wilcoxon(MANY, method="exact").pvalue

    assert signed_rank_p(MANY) == exact
    assert signed_rank_p(np.append(MANY, [0.0, 0.0])) == exact


def test_drawn_sign_flips_agree_with_the_listed_ones():
    listed = sign_flip_p(SIX)
    few = sign_flip_p(np.tile(SIX, 2), settings=Bootstrap(num_resamples=4000))
    exact = sign_flip_p(np.tile(SIX, 2), settings=Bootstrap(num_resamples=5000))

    assert listed == pytest.approx(p_by_listing(np.mean, SIX))
    assert few != exact
    np.testing.assert_allclose(few, exact, atol=0.01)


def test_drawn_sign_flips_are_the_same_twice_and_another_with_another_seed():
    one = sign_flip_p(MANY, settings=Bootstrap(num_resamples=999))

    assert one == sign_flip_p(MANY, settings=Bootstrap(num_resamples=999))
    assert one != sign_flip_p(MANY, settings=Bootstrap(num_resamples=999, seed=1))


def test_people_who_do_not_differ_have_p_1():
    assert signed_rank_p(np.zeros(4)) == 1.0
    assert sign_flip_p(np.zeros(4)) == 1.0


@pytest.mark.parametrize("n", range(2, 9))
def test_the_smallest_p_is_that_of_people_who_all_agree(n):
    agreed = np.arange(1.0, n + 1)

    assert smallest_p(n) == pytest.approx(2 / 2**n)
    assert sign_flip_p(agreed) == pytest.approx(smallest_p(n))
    assert signed_rank_p(agreed) == pytest.approx(smallest_p(n))


def test_the_smallest_p_of_drawn_signs_depends_on_the_draws():
    settings = Bootstrap(num_resamples=999)

    found = sign_flip_p(np.full(40, 1.0) + MANY[:1] * 0.01, settings=settings)

    assert found == smallest_p(40, settings=settings) == 2 / 1000


def test_holm_s_correction_by_hand():
    """Ordered 0.005, 0.01, 0.03, 0.04; times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04, then 0.06."""
    np.testing.assert_allclose(
        correct_holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02], rtol=1e-12
    )


def test_holm_s_correction_ends_at_1_and_leaves_one_test_alone():
    assert correct_holm([0.6, 0.7]) == [1.0, 1.0]
    assert correct_holm([0.03]) == [0.03]


def test_the_effect_size_is_corrected_for_few_people():
    """n = 3: J = Γ(1) / (√1 Γ(1/2)) = 1/√π; d_z = 2 / 1."""
    found = paired_effect_size(np.array([1.0, 2.0, 3.0]))

    np.testing.assert_allclose(found, 2 / math.sqrt(math.pi), rtol=1e-12)
    np.testing.assert_allclose(paired_effect_size(-SIX), -paired_effect_size(SIX), rtol=1e-12)


def test_the_effect_size_of_normal_differences_is_unbiased():
    draws = np.random.default_rng(0).normal(0.8, 1.0, size=(4_000, 6))

    found = np.mean([paired_effect_size(draw) for draw in draws])

    np.testing.assert_allclose(found, 0.8, atol=0.03)


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, 1.0, 1.0], [1.0, 2.0, INFINITE]])
def test_there_is_no_effect_size_without_a_spread(values):
    assert paired_effect_size(np.array(values)) is None


def test_a_family_is_corrected_together():
    found = examine_family({"a": SIX, "b": TIED, "c": -SIX})

    raw = [found[key].sign_flip_p for key in "abc"]
    assert [found[key].holm_p for key in "abc"] == correct_holm(raw)
    assert found["a"].holm_p > found["a"].sign_flip_p
    assert (found["a"].n, found["b"].n) == (6, 7)
    np.testing.assert_allclose(found["c"].mean, -np.mean(SIX))


def test_what_cannot_be_tested_still_counts_in_the_family():
    found = examine_family({"a": SIX, "b": [1.0] * 5 + [INFINITE]})

    assert found["a"].holm_p == pytest.approx(2 * found["a"].sign_flip_p)
    untested = found["b"]
    assert untested.mean == INFINITE
    assert (untested.bca, untested.wilcoxon_p, untested.sign_flip_p, untested.holm_p) == (None,) * 4
    assert untested.to_json()["mean"] == "inf"


def test_one_person_has_a_mean_and_nothing_else():
    found = examine_family({"a": [1.5]})["a"]

    assert (found.n, found.mean) == (1, 1.5)
    assert found.percentile is found.bca is found.sign_flip_p is found.effect_size is None


def test_intervals_are_percentile_and_bca():
    skewed = np.array([0.1, 0.2, 0.15, 0.3, 0.2, 4.0])

    found = examine_family({"a": skewed})["a"]

    rng = np.random.default_rng(0)
    expected = stats.bootstrap((skewed,), np.mean, n_resamples=10_000, method="BCa", rng=rng)
    np.testing.assert_allclose(found.bca, expected.confidence_interval, rtol=1e-12)
    assert found.bca[1] > found.percentile[1]


@pytest.mark.parametrize(
    ("n", "family", "words"),
    [
        (1, 3, "One person: there is nothing to test"),
        (3, 3, r"n = 3 .* below 0\.25, whatever the scores: n is too small to say anything"),
        (5, 1, r"below 0\.062, whatever the scores: n is too small to say anything"),
        (6, 3, r"below 0\.031, whatever the scores, nor one below 0\.094 .* 3 tests: n is too"),
        (6, 1, r"below 0\.031 after the correction for 1 tests\. Read the interval"),
        (7, 3, r"nor one below 0\.047 .* Read the interval"),
    ],
)
def test_what_n_permits_to_say_is_a_plain_sentence(n, family, words):
    assert re.search(words, describe_power(n, family=family))
