"""Conformal quantiles, the factors made of them, and the coverage they reach on known errors."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from medtranslate.metrics import calibration as module
from medtranslate.metrics.calibration import (
    FLOORS,
    LEVELS,
    SMALLEST_MEDIAN,
    Calibration,
    calibrate,
    conformal_quantiles,
    coverage,
    mean_width,
    weighted_quantile,
)

FACTORS = {0.5: 0.7, 0.8: 1.3, 0.9: 1.7, 0.95: 2.1}


def gaussian_person(rng, count, *, told=1.0):
    """Errors drawn with a known deviation; what is told of it may be wrong by a factor."""
    sd = rng.uniform(0.05, 0.4, count)
    return told * sd, np.abs(rng.normal(0, sd))


@pytest.mark.parametrize("count", [9, 19, 20, 57, 200])
@pytest.mark.parametrize("level", LEVELS)
def test_the_quantile_is_that_of_the_textbook(count, level):
    """The ceil((n + 1)(1 - alpha))-th smallest of n scores, infinite beyond the last."""
    scores = np.random.default_rng(count).normal(size=count)
    rank = math.ceil(round((count + 1) * level, 9))

    found = conformal_quantiles(scores, [level])[0]

    assert found == (np.inf if rank > count else np.sort(scores)[rank - 1])


def test_a_new_score_stays_below_the_quantile_as_often_as_promised():
    """Marginal coverage over draws of calibration and test: between level and level + 1/(n+1)."""
    rng = np.random.default_rng(0)
    count, draws = 19, 20_000
    scores = rng.exponential(size=(draws, count + 1))

    below = [row[-1] <= conformal_quantiles(row[:-1], [0.8])[0] for row in scores]

    np.testing.assert_allclose(np.mean(below), 16 / 20, atol=4 * math.sqrt(0.16 / draws))


def test_a_score_of_weight_two_counts_as_two_scores():
    rng = np.random.default_rng(1)
    scores, weights = rng.normal(size=40), rng.integers(1, 4, 40)

    for level in LEVELS:
        np.testing.assert_allclose(
            weighted_quantile(scores, level, weights=weights),
            np.quantile(np.repeat(scores, weights), level, method="inverted_cdf"),
        )


def test_equal_weights_are_no_weights():
    scores = np.random.default_rng(2).normal(size=33)

    np.testing.assert_array_equal(
        conformal_quantiles(scores, LEVELS, weights=np.full(33, 0.125)),
        conformal_quantiles(scores, LEVELS),
    )


def test_quantiles_of_nothing_and_impossible_levels_are_refused():
    with pytest.raises(ValueError, match="no value"):
        conformal_quantiles(np.array([]), [0.5])
    with pytest.raises(ValueError, match="between 0 and 1"):
        conformal_quantiles(np.ones(3), [1.0])


@pytest.mark.parametrize("told", [1.0, 0.25, 3.0])
def test_intervals_reach_nominal_coverage_whatever_the_deviation_was_multiplied_by(told):
    rng = np.random.default_rng(4)
    calibration = calibrate([gaussian_person(rng, 20_000, told=told)])
    sd, error = gaussian_person(rng, 20_000, told=told)

    for level in LEVELS:
        reached = coverage(error, calibration.half_width(sd, level))
        sampling = math.sqrt(2 * level * (1 - level) / 20_000)
        np.testing.assert_allclose(reached, level, atol=4 * sampling)


def test_a_deviation_ten_times_too_small_gets_factors_ten_times_as_large():
    honest, small = (
        calibrate([gaussian_person(np.random.default_rng(5), 5000, told=told)])
        for told in (1.0, 0.1)
    )

    for level in LEVELS:
        np.testing.assert_allclose(small.factors[level] / honest.factors[level], 10, rtol=1e-9)
    np.testing.assert_allclose(small.floor, honest.floor / 10)


def test_factors_of_a_known_deviation_are_those_of_the_normal_distribution():
    """With one deviation for all every floor serves, and the smallest is taken."""
    rng = np.random.default_rng(6)
    sd = np.full(200_000, 0.2)

    calibration = calibrate([(sd, np.abs(rng.normal(0, sd)))])

    assert calibration.floor == FLOORS[0] * 0.2
    for level in LEVELS:
        expected = norm.ppf(0.5 + level / 2) / (1 + FLOORS[0])
        np.testing.assert_allclose(calibration.factors[level], expected, rtol=0.02)


def test_each_person_weighs_the_same_however_large():
    """Nine times as many voxels without error do not outvote the person with errors of 1."""
    small = (np.full(1000, 0.5), np.ones(1000))
    large = (np.full(9000, 0.5), np.zeros(9000))

    calibration = calibrate([small, large])

    half_widths = [calibration.half_width(np.array(0.5), level) for level in (0.8, 0.9)]
    np.testing.assert_allclose(half_widths, 1.0)
    assert calibration.num_people == 2
    assert calibration.num_voxels == 10_000


def test_a_deviation_of_0_everywhere_still_gives_intervals():
    error = np.linspace(0, 1, 1001)

    calibration = calibrate([(np.zeros(1001), error)])

    assert calibration.floor == FLOORS[0] * SMALLEST_MEDIAN
    half_width = calibration.half_width(np.zeros(1), 0.9)
    np.testing.assert_allclose(half_width, 0.9, atol=0.002)


def test_a_deviation_that_says_nothing_makes_intervals_hardly_wider_than_equal_ones():
    """Deviations over four orders of magnitude that have nothing to do with the errors."""
    rng = np.random.default_rng(7)
    sd, error = 10.0 ** rng.uniform(-4, 0, 20_000), rng.exponential(0.1, 20_000)

    calibration = calibrate([(sd, error)])

    equal = 2 * np.quantile(error, 0.9)
    assert mean_width(calibration.half_width(sd, 0.9)) < 1.02 * equal


def test_a_deviation_that_says_much_makes_intervals_narrower_than_equal_ones():
    rng = np.random.default_rng(8)
    sd = 10.0 ** rng.uniform(-2, 0, 20_000)
    error = np.abs(rng.normal(0, sd))

    calibration = calibrate([(sd, error)])

    assert calibration.floor <= weighted_quantile(sd, 0.5)
    assert mean_width(calibration.half_width(sd, 0.9)) < 0.8 * 2 * np.quantile(error, 0.9)


@pytest.mark.parametrize(
    ("largest_sd", "error_scale"), [((0.2, 2), (0.1, 0.5)), ((1, 0.02), (0.3, 0.02))]
)
def test_the_floor_is_that_of_the_narrowest_intervals_by_brute_force(largest_sd, error_scale):
    """Two people of very different size; widths computed voxel by voxel, persons weighing alike."""
    rng = np.random.default_rng(9)
    people = [
        (rng.uniform(sd / 20, sd, count), np.abs(rng.normal(0, scale, count)))
        for sd, scale, count in zip(largest_sd, error_scale, (2000, 40), strict=True)
    ]

    calibration = calibrate(people)

    repeated = [
        np.tile(np.stack(person), times) for person, times in zip(people, (1, 50), strict=True)
    ]
    sd, error = np.concatenate(repeated, axis=1)
    floors = np.array(FLOORS) * np.quantile(sd, 0.5, method="inverted_cdf")
    widths = [
        np.quantile(error / (sd + floor), 0.9, method="inverted_cdf") * np.mean(sd + floor)
        for floor in floors
    ]
    np.testing.assert_allclose(calibration.floor, floors[np.argmin(widths)])


def test_of_a_large_person_voxels_are_drawn_with_their_errors(monkeypatch):
    person = gaussian_person(np.random.default_rng(10), 50_000)
    every = calibrate([person])
    monkeypatch.setattr(module, "_VOXELS_OF_A_PERSON", 20_000)

    drawn = calibrate([person])

    assert (every.num_voxels, drawn.num_voxels) == (50_000, 20_000)
    for level in LEVELS:
        np.testing.assert_allclose(drawn.factors[level], every.factors[level], rtol=0.04)


def test_too_few_voxels_and_nobody_are_refused():
    with pytest.raises(ValueError, match="finite factor"):
        calibrate([(np.ones(18), np.ones(18))])
    with pytest.raises(ValueError, match="nobody"):
        calibrate([])


def test_ends_of_intervals_count_as_covered_and_width_is_twice_the_half():
    error, half_width = np.array([-2.0, 2.0, 2.1, 0.0]), np.full(4, 2.0)

    assert coverage(error, half_width) == 0.75
    assert mean_width(np.array([1.0, 2.0])) == 3.0
    with pytest.raises(ValueError, match="no voxel"):
        coverage(np.array([]), np.array([]))


def test_the_half_width_grows_with_the_deviation_from_that_of_the_floor():
    calibration = Calibration(0.1, FACTORS, 2, 50)

    np.testing.assert_allclose(calibration.half_width(np.array([0.0, 0.4]), 0.9), [0.17, 0.85])


def test_a_calibration_survives_the_way_through_json():
    calibration = Calibration(0.1, FACTORS, 2, 50)

    assert Calibration.from_json(calibration.to_json()) == calibration
    assert calibration.to_json()["factors"] == {"50": 0.7, "80": 1.3, "90": 1.7, "95": 2.1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"floor": 0.0}, "floor is 0.0"),
        ({"floor": float("nan")}, "floor is nan"),
        ({"num_people": 0}, "at least one"),
        ({"factors": {"50": 1, "80": 2, "90": 3}}, "'95'"),
        ({"factors": {"50": 1, "80": 2, "90": 1.5, "95": 4}}, "must rise"),
        ({"factors": {"50": -1, "80": 2, "90": 3, "95": 4}}, "must rise"),
        ({"factors": {"50": 1, "80": 2, "90": 3, "95": float("inf")}}, "finite factor"),
        ({"factors": None}, "misstates"),
    ],
)
def test_a_calibration_that_gives_no_intervals_is_refused(change, message):
    data = Calibration(0.1, FACTORS, 2, 50).to_json() | change

    with pytest.raises(ValueError, match=message):
        Calibration.from_json(data)
