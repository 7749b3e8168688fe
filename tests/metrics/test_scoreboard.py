"""What the scores of several methods come to."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction, goodness
from medtranslate.metrics.scoring import MEASURES, SLICE_MEASURES, CaseScores, SliceScores

PROTOCOL = Protocol(interval_resamples=500)


def scores(psnr, *, me=0.1):
    values = dict.fromkeys(MEASURES, 0.5) | {"psnr": psnr, "mae": 1 / psnr, "me_volume": me}
    slices = (
        SliceScores(0, 3, False, {}),
        SliceScores(1, 90, True, {name: values[name] for name in SLICE_MEASURES}),
    )
    return CaseScores(slices, values)


def make_board(model=(20.0, 22.0, 18.0), **baselines):
    methods = {"cgan": model, **(baselines or {"copy": (10.0, 11.0, 19.0), "map": (17.0,) * 3})}
    people = ("ann", "ann", "bob")
    rows = [
        ScoredPrediction(f"case{number}", people[number], method, scores(value))
        for number in range(3)
        for method, values in methods.items()
        for value in [values[number]]
    ]
    return Scoreboard(tuple(rows), "cgan", False, PROTOCOL)


def test_people_count_once_however_many_visits_they_have():
    found = make_board().summary("cgan", "psnr")

    assert found.n == 2
    assert found.mean == pytest.approx((21.0 + 18.0) / 2)
    assert found.sd == pytest.approx(np.std([21.0, 18.0], ddof=1))


def test_the_difference_is_model_minus_baseline_by_person():
    found = make_board().difference("copy", "psnr")

    assert found.mean == pytest.approx((21.0 - 10.5 + 18.0 - 19.0) / 2)
    assert (found.better, found.n) == (1, 2)


def test_the_best_baseline_follows_the_direction_of_the_measure():
    board = make_board(copy=(10.0, 11.0, 19.0), map=(17.0, 17.0, 17.0))

    assert board.best_baseline("psnr") == "map"
    assert board.best_baseline("mae") == "map"
    assert board.difference("map", "mae").better == 2


def test_a_board_without_baselines_has_no_best_one():
    rows = tuple(row for row in make_board().rows if row.method == "cgan")

    board = Scoreboard(rows, "cgan", False, PROTOCOL)

    assert board.baselines == ()
    assert board.best_baseline("psnr") is None
    assert board.to_json()["differences"] == {}


def test_cases_are_ranked_worst_first():
    assert [row.case for row in make_board().ranked_cases()] == ["case2", "case0", "case1"]


def test_bias_is_best_at_nothing():
    assert goodness("me_volume", -0.1) > goodness("me_volume", 0.2)
    assert goodness("me_volume", 0.1) > goodness("me_volume", -0.3)
    assert goodness("mae", 0.1) > goodness("mae", 0.2)
    assert goodness("ssim", 0.2) > goodness("ssim", 0.1)


def test_plain_data_is_json_and_says_direction_people_and_protocol():
    data = json.loads(json.dumps(make_board(model=(20.0, float("inf"), 18.0)).to_json()))

    assert (data["n"], data["cases"], data["model"]) == (2, 3, "cgan")
    assert data["protocol"]["hash"] == PROTOCOL.fingerprint
    assert data["metrics"]["psnr"]["mean"] == "inf"
    assert data["metrics"]["psnr"]["infinite"] == 1
    assert data["metrics"]["mae"]["better"] == "lower"
    assert data["per_case"][1]["psnr"] == "inf"
    assert data["per_case"][1]["slices_identical"] == 1


def test_a_case_without_every_method_is_refused():
    rows = make_board().rows[:-1]

    with pytest.raises(ValueError, match="case2"):
        Scoreboard(rows, "cgan", False, PROTOCOL)


def test_a_case_scored_twice_is_refused():
    rows = make_board().rows

    with pytest.raises(ValueError, match="case0"):
        Scoreboard((*rows, rows[0]), "cgan", False, PROTOCOL)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="nothing was scored"):
        Scoreboard((), "cgan", False, PROTOCOL)
