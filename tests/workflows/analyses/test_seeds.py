"""Spread over seeds, against numbers worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import MEASURES, CaseScores
from medtranslate.workflows.analyses.seeds import (
    SEED_KEY,
    SeedSpread,
    spread_of_means,
    spread_within_people,
)

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


def test_where_nobody_was_scored_with_every_seed_nothing_is_said():
    analysis, rows = SeedSpread(), []
    for number, person in enumerate(("a", "b")):
        case = SimpleNamespace(name=f"{person} seed {number}", context={SEED_KEY: str(number)})
        analysis.add(case, None, {})
        scores = CaseScores((), dict.fromkeys(MEASURES, 20.0 + number))
        rows.append(ScoredPrediction(case.name, person, "model", scores))

    assert analysis.finish(Scoreboard(tuple(rows), "model", False, Protocol())) is None
