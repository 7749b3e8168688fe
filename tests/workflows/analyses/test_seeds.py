"""Spread over seeds, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from medtranslate.workflows.analyses.seeds import spread_of_means, spread_within_people

SCORES = {
    "0": {"a": 20.0, "b": 24.0, "c": 25.0},
    "1": {"a": 22.0, "b": 24.0, "c": 29.0},
    "2": {"a": 24.0, "b": 24.0, "c": 27.0},
}


def test_the_spread_of_means_is_over_seeds():
    means = [23.0, 25.0, 25.0]
    centre = sum(means) / 3
    expected = (sum((mean - centre) ** 2 for mean in means) / 2) ** 0.5
    assert spread_of_means(SCORES) == pytest.approx(expected)


def test_the_spread_within_people_does_not_see_how_people_differ():
    expected = ((4.0 + 0.0 + 4.0) / 3) ** 0.5

    assert spread_within_people(SCORES) == pytest.approx(expected)
    moved = {seed: {**one, "a": one["a"] + 50.0} for seed, one in SCORES.items()}
    assert spread_within_people(moved) == pytest.approx(expected)


def test_a_person_whom_one_seed_lacks_counts_nowhere():
    partly = {**SCORES, "2": {"a": 24.0, "b": 24.0}}

    assert spread_within_people(partly) == pytest.approx((4.0 / 2) ** 0.5)
