"""Means and intervals over people, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from medtranslate.metrics.statistics import (
    Bootstrap,
    bootstrap_interval,
    compare,
    json_number,
    mean_by_subject,
    pair_differences,
    summarise,
    wilson_interval,
)

VALUES = [17.2, 18.9, 16.1, 21.0, 19.4]
INFINITE = float("inf")


def plain_bootstrap(values, *, num_resamples=40_000, level=0.95):
    """The percentile bootstrap written out, with another seed."""
    generator = np.random.default_rng(99)
    draws = generator.choice(values, size=(num_resamples, len(values)), replace=True).mean(axis=1)
    return np.percentile(draws, [50 * (1 - level), 100 - 50 * (1 - level)])


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_interval_agrees_with_a_plain_bootstrap(level):
    found = bootstrap_interval(VALUES, settings=Bootstrap(level=level))

    np.testing.assert_allclose(found, plain_bootstrap(VALUES, level=level), atol=0.08)


def bca_by_hand(values, *, level):
    """Efron 1987 written out: bias from the draws, acceleration from the jackknife."""
    values = np.asarray(values)
    draws = np.random.default_rng(7).choice(values, size=(200_000, values.size)).mean(axis=1)
    share = (draws < values.mean()).mean() / 2 + (draws <= values.mean()).mean() / 2
    bias = norm.ppf(share)
    left_out = np.array([np.delete(values, n).mean() for n in range(values.size)])
    spread = left_out.mean() - left_out
    speed = (spread**3).sum() / (6 * (spread**2).sum() ** 1.5)
    z = bias + norm.ppf([(1 - level) / 2, (1 + level) / 2])
    return np.quantile(draws, norm.cdf(bias + z / (1 - speed * z)))


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_bca_interval_agrees_with_efron_s_formula(level):
    skewed = np.random.default_rng(2).exponential(size=20).tolist()

    found = bootstrap_interval(skewed, settings=Bootstrap(level=level), method="BCa")

    np.testing.assert_allclose(found, bca_by_hand(skewed, level=level), atol=0.02)
    assert abs(found[1] - bootstrap_interval(skewed, settings=Bootstrap(level=level))[1]) > 0.02


@pytest.mark.parametrize("values", [[2.0, 2.0, 2.0], [0.0, 0.0], [1.0, 1.0 + 2e-16, 1.0 - 1e-16]])
def test_equal_people_have_no_width_in_bca_either(values):
    found = bootstrap_interval(values, method="BCa")

    np.testing.assert_allclose(found, (values[0], values[0]), rtol=1e-15)


def test_interval_is_the_same_twice_and_another_with_another_seed():
    values = np.random.default_rng(3).normal(20.0, 2.0, size=37).tolist()

    assert bootstrap_interval(values) == bootstrap_interval(tuple(values))
    assert bootstrap_interval(values) != bootstrap_interval(values, settings=Bootstrap(seed=1))


def test_interval_of_equal_people_has_no_width():
    assert bootstrap_interval([2.0, 2.0, 2.0]) == pytest.approx((2.0, 2.0))


@pytest.mark.parametrize("values", [[3.0], [3.0, INFINITE]])
def test_one_person_or_an_infinite_value_has_no_interval(values):
    assert bootstrap_interval(values) is None


def test_summary_of_people_agrees_with_numpy():
    found = summarise(VALUES)

    assert found.n == 5
    assert found.mean == pytest.approx(np.mean(VALUES))
    assert found.sd == pytest.approx(np.std(VALUES, ddof=1))
    assert found.interval is not None
    assert found.interval[0] < found.mean < found.interval[1]
    assert found.infinite == 0


def test_summary_of_one_person_has_neither_sd_nor_interval():
    found = summarise([4.0])

    assert (found.mean, found.sd, found.interval, found.n) == (4.0, None, None, 1)


def test_an_infinite_person_makes_the_mean_infinite_and_is_counted():
    found = summarise([20.0, INFINITE, 30.0])

    assert found.mean == INFINITE
    assert (found.sd, found.interval, found.infinite) == (None, None, 1)
    assert found.mean_of_finite == pytest.approx(25.0)
    assert found.to_json()["mean"] == "inf"


@pytest.mark.parametrize(("values", "words"), [([], "no value"), ([1.0, float("nan")], "NaN")])
def test_nothing_and_nan_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        summarise(values)


def test_difference_is_taken_person_by_person():
    model = {"b": 21.0, "a": 18.0, "c": 15.0}
    baseline = {"a": 17.0, "b": 19.0, "c": 15.5}

    found = compare(model, baseline, goodness=lambda value: value)

    assert found.mean == pytest.approx((1.0 + 2.0 - 0.5) / 3)
    assert (found.n, found.better) == (3, 2)
    assert found.interval is not None
    np.testing.assert_allclose(found.interval, plain_bootstrap([1.0, 2.0, -0.5]), atol=0.05)


def test_better_follows_the_direction_of_the_measure():
    model, baseline = {"a": -0.1, "b": 0.3}, {"a": 0.2, "b": 0.1}

    assert compare(model, baseline, goodness=lambda value: -value).better == 1
    assert compare(model, baseline, goodness=lambda value: -abs(value)).better == 1
    assert compare({"a": -0.1}, {"a": 0.2}, goodness=lambda value: -abs(value)).better == 1


def test_two_infinite_values_differ_by_nothing():
    both = {"a": INFINITE, "b": 20.0}

    assert compare(both, dict(both), goodness=lambda value: value).mean == 0.0
    assert compare(both, {"a": 1.0, "b": 1.0}, goodness=lambda value: value).mean == INFINITE


def test_infinite_differences_of_both_signs_have_no_mean():
    found = compare(
        {"a": INFINITE, "b": 1.0}, {"a": 1.0, "b": INFINITE}, goodness=lambda value: value
    )

    assert found.to_json()["mean"] == "nan"
    assert found.interval is None


def test_people_are_paired_by_name_whatever_their_order():
    model = {"c": 3.0, "a": 10.0, "b": INFINITE}
    baseline = {"b": INFINITE, "a": 8.0, "c": 4.0}

    assert pair_differences(model, baseline) == {"a": 2.0, "b": 0.0, "c": -1.0}


def test_other_people_are_refused():
    with pytest.raises(ValueError, match="same people"):
        compare({"a": 1.0}, {"b": 1.0}, goodness=lambda value: value)


def test_a_person_with_two_visits_counts_once():
    values = {"a_1": 10.0, "a_2": 20.0, "b_1": 30.0}

    found = mean_by_subject(values, {"a_1": "a", "a_2": "a", "b_1": "b"})

    assert found == {"a": 15.0, "b": 30.0}


@pytest.mark.parametrize(("value", "plain"), [(1.5, 1.5), (INFINITE, "inf"), (-INFINITE, "-inf")])
def test_json_holds_what_it_has_no_number_for(value, plain):
    assert json_number(value) == plain


@pytest.mark.parametrize(("hits", "n", "level"), [(0, 5, 0.95), (3, 7, 0.9), (12, 12, 0.95)])
def test_the_interval_of_a_share_agrees_with_scipy(hits, n, level):
    expected = binomtest(hits, n).proportion_ci(level, method="wilson")

    np.testing.assert_allclose(wilson_interval(hits / n, n, level=level), expected, atol=1e-12)


@pytest.mark.parametrize(("share", "n"), [(1.1, 3), (-0.1, 3), (0.5, 0)])
def test_a_share_of_nobody_or_above_one_has_no_interval(share, n):
    with pytest.raises(ValueError, match="expected 0 to 1"):
        wilson_interval(share, n)
