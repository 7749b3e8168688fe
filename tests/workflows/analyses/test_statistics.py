"""The statistics of a report, against scipy on the same scores."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from scipy import stats

from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import MEASURES, CaseScores
from medtranslate.workflows.analyses.statistics import Statistics

MODEL = [20.0, 22.0, 18.5, 25.0, 21.0, 23.0, 19.0]
BASELINES = {
    "lookup map": [19.0, 21.5, 19.5, 22.0, 19.0, 20.5, 18.8],
    "copy": [12.0, 13.0, 9.0, 14.0, 11.0, 8.0, 10.0],
}


def make_row(case, subject, method, psnr):
    values = dict.fromkeys(MEASURES, psnr / 40) | {"psnr": psnr, "mae": 1 / psnr}
    return ScoredPrediction(case, subject, method, CaseScores((), values))


def make_board(levels):
    rows = [
        make_row(f"c{n}", f"d/p{n}", method, values[n])
        for n in range(len(MODEL))
        for method, values in levels.items()
    ]
    return Scoreboard(tuple(rows), "model", False, Protocol())


@pytest.fixture(scope="module")
def found():
    return Statistics().finish(make_board({"model": MODEL, **BASELINES}))


@pytest.mark.parametrize("baseline", BASELINES)
def test_each_baseline_is_tested_as_scipy_does(found, baseline):
    test = next(
        t
        for t in found.summary["tests"]
        if (t["method"], t["minus"], t["measure"]) == ("model", baseline, "psnr")
    )
    difference = np.subtract(MODEL, BASELINES[baseline])

    rng = np.random.default_rng(0)
    bca = stats.bootstrap((difference,), np.mean, n_resamples=10_000, method="BCa", rng=rng)
    np.testing.assert_allclose(test["mean"], difference.mean())
    np.testing.assert_allclose(test["bca"], bca.confidence_interval)
    np.testing.assert_allclose(
        test["wilcoxon_p"], stats.wilcoxon(difference, method=stats.PermutationMethod()).pvalue
    )
    assert test["n"] == 7


def test_the_correction_is_over_the_measures_of_one_baseline(found):
    of_copy = [t for t in found.summary["tests"] if t["minus"] == "copy"]

    assert [t["measure"] for t in of_copy] == ["psnr", "ssim", "mae"]
    assert [t["sign_flip_p"] for t in of_copy] == pytest.approx([2 / 128] * 3)
    assert [t["holm_p"] for t in of_copy] == pytest.approx([6 / 128] * 3)


def test_the_table_and_the_file_say_the_same(found):
    rows = list(csv.DictReader(io.StringIO(found.files["statistics.csv"])))
    _, of_copy = found.section.tables

    assert len(rows) == 6
    assert float(rows[3]["sign_flip_p"]) == 2 / 128
    assert (rows[3]["method"], rows[3]["minus"], rows[3]["unit"]) == ("model", "copy", "dB")
    assert (of_copy.caption, len(of_copy.rows)) == ("model minus copy", 3)
    assert of_copy.rows[0][2] == f"+{np.mean(np.subtract(MODEL, BASELINES['copy'])):.2f}"
    assert of_copy.rows[2][0] == "MAE, scaled intensity (lower is better)"
    assert of_copy.rows[2][8].startswith("\u2212")


def test_the_section_says_what_n_permits(found):
    assert "With n = 7 people no two-sided sign-flip test can give a p below 0.016" in (
        found.section.lead
    )
    assert found.section.lead.startswith(found.summary["sentence"])


def test_the_visits_of_a_person_are_averaged_first():
    rows = [
        make_row(case, subject, method, psnr)
        for case, subject, scores in [
            ("a1", "d/a", (20.0, 10.0)),
            ("a2", "d/a", (30.0, 12.0)),
            ("b", "d/b", (21.0, 20.0)),
        ]
        for method, psnr in zip(("model", "copy"), scores, strict=True)
    ]

    test = Statistics().finish(Scoreboard(tuple(rows), "model", False, Protocol())).summary

    assert test["tests"][0]["n"] == test["n"] == 2
    np.testing.assert_allclose(test["tests"][0]["mean"], (14.0 + 1.0) / 2)


def test_without_baselines_there_is_nothing_to_test():
    assert Statistics().finish(make_board({"model": MODEL})) is None
