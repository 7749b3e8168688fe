"""Scores by group, against NumPy on the people of the group."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import MEASURES, CaseScores
from medtranslate.metrics.statistics import bootstrap_interval
from medtranslate.workflows.analyses.subgroups import Subgroups

PEOPLE = {
    "d/a": ({"sex": "F", "age": "35", "name": "Ada"}, [20.0, 24.0], [15.0, 15.0]),
    "d/b": ({"sex": "M", "age": "71"}, [21.0], [19.0]),
    "d/c": ({"sex": "F", "age": "36"}, [18.0], [19.5]),
    "d/e": ({"sex": "F", "age": "62"}, [25.0], [18.0]),
}


def make_row(case, subject, method, psnr):
    values = dict.fromkeys(MEASURES, psnr / 40) | {"psnr": psnr}
    return ScoredPrediction(case, subject, method, CaseScores((), values))


def analyse(people, *, with_baselines=True):
    known = {subject: facts for subject, (facts, *_) in people.items()}
    analysis, rows = Subgroups({**known, "d/not scored": {"sex": "F", "age": "1"}}), []
    for subject, (_, model, baseline) in people.items():
        for visit, scores in enumerate(zip(model, baseline, strict=True)):
            case = f"{subject}_{visit}"
            rows.append(make_row(case, subject, "model", scores[0]))
            if with_baselines:
                rows.append(make_row(case, subject, "lookup map", scores[1]))
                rows.append(make_row(case, subject, "copy", 9.0))
    return analysis.finish(Scoreboard(tuple(rows), "model", False, Protocol()))


def row_of(found, group, measure="psnr"):
    return next(
        r for r in found.summary["groups"] if (r["group"], r["measure"]) == (group, measure)
    )


def test_a_group_has_its_own_mean_interval_and_distance_to_the_best_baseline():
    row = row_of(analyse(PEOPLE), "F")

    model, difference = [22.0, 18.0, 25.0], [7.0, -1.5, 7.0]
    assert (row["n"], row["topic"], row["best_baseline"]) == (3, "sex", "lookup map")
    np.testing.assert_allclose(row["mean"], np.mean(model))
    np.testing.assert_allclose((row["low"], row["high"]), bootstrap_interval(model))
    np.testing.assert_allclose(row["mean_difference"], np.mean(difference))
    np.testing.assert_allclose(
        (row["difference_low"], row["difference_high"]), bootstrap_interval(difference)
    )


def test_small_groups_are_named_as_too_small():
    found = analyse(PEOPLE)

    assert "low" not in row_of(found, "M")
    assert any("By sex, fewer than 3 people in: M (1)." in note for note in found.section.notes)
    assert any("18 to 39 (2), 60 to 79 (2)" in note for note in found.section.notes)
    assert any(note.startswith("Bands of age, in years: under 18") for note in found.section.notes)


def test_the_table_and_the_file_hold_every_group_and_no_name():
    found = analyse(PEOPLE)
    rows = list(csv.DictReader(io.StringIO(found.files["subgroups.csv"])))

    assert [(r["topic"], r["group"]) for r in rows[::2]] == [
        ("sex", "F"), ("sex", "M"), ("age", "18 to 39"), ("age", "60 to 79"),
    ]  # fmt: skip
    by_sex = found.section.tables[0]
    assert by_sex.columns[:4] == ("Sex", "n", "PSNR, dB", "minus lookup map")
    assert by_sex.rows[1][:4] == ("M", "1", "21.00", "+2.00")
    assert "Ada" not in f"{found}"
    assert "d/a" not in f"{found}"


def test_without_baselines_there_is_no_difference():
    found = analyse(PEOPLE, with_baselines=False)

    assert found.section.tables[0].columns == ("Sex", "n", "PSNR, dB", "SSIM")
    assert "mean_difference" not in row_of(found, "F")


def test_an_infinite_loss_is_infinite_downwards():
    people = {"d/a": ({"sex": "F"}, [20.0], [float("inf")]), "d/b": ({"sex": "M"}, [1.0], [2.0])}

    assert row_of(analyse(people), "F")["mean_difference"] == "-inf"


@pytest.mark.parametrize("facts", [{}, {"name": "Ada", "sex": "n/a"}])
def test_nothing_known_is_no_section(facts):
    assert analyse({"d/a": (facts, [20.0], [19.0])}) is None
