"""Folds and seeds of models that follow people: everybody is simulated by who never saw them."""

import csv
import json

import numpy as np
import pytest

from medtranslate.checkpoint import load_model
from medtranslate.cli.output import ExitCode
from medtranslate.cli.summaries import show_cross_validation
from medtranslate.errors import VolumeReadError
from medtranslate.workflows import follow_ups
from medtranslate.workflows import run as run_module
from medtranslate.workflows.cross_validate import cross_validate

from .conftest import write_visits

MOMENT = {
    "patch_size": [24, 24, 20],
    "num_steps": 2,
    "num_validations": 1,
    "precision": "32-true",
}
SETTINGS = {
    "split": {"folds": 2, "val": 0},
    "train": MOMENT,
    "evaluation": {"protocols": [], "samples": 0},
}
EVERYBODY = {f"four/{n:02d}" for n in range(1, 5)}


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    return write_visits(tmp_path_factory.mktemp("data") / "four", 4)


@pytest.fixture(scope="module")
def finished(four, make_progression, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds") / "cv"
    return cross_validate(make_progression(**SETTINGS), [four], folder)


def rows_of(folder):
    rows = csv.DictReader((folder / "evaluation" / "change.csv").read_text().splitlines())
    return {(row["case"], row["method"]): row for row in rows}


def test_every_person_is_simulated_by_a_model_that_never_saw_them(finished):
    for fold in finished.folds:
        split = load_model(fold.folder).config["split"]["subjects"]
        assert {who for who, part in split.items() if part == "test"} == {*fold.validation.scored}

    assert {who for fold in finished.folds for who in fold.validation.scored} == EVERYBODY
    assert finished.validation.scored == tuple(sorted(EVERYBODY))
    assert finished.validation.summary["n"] == 4
    assert finished.failed == ()


def test_the_common_scores_of_change_are_those_of_the_folds(finished):
    apart = {}
    for fold in finished.folds:
        apart |= rows_of(fold.folder)

    assert rows_of(finished.folder) == apart
    found = {row["method"]: row for row in finished.validation.summary["change"]["by_method"]}
    dices = [float(row["dice"]) for (_, method), row in apart.items() if method == "visits"]
    assert found["visits"]["dice"]["mean"] == pytest.approx(np.mean(dices))
    page = finished.validation.report.read_text(encoding="utf-8")
    assert "visits: T1w at a later visit, cross-validation in 2 folds" in page
    assert "Every person was held out exactly once: 2 folds" in page


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_resuming_trains_nothing_again(finished, four, make_progression, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(run_module, "train_in_locked", refuse)

    again = cross_validate(make_progression(**SETTINGS), [four], finished.folder, resume=True)

    assert again.validation.summary["change"] == finished.validation.summary["change"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_seeds_are_averaged_within_each_person(four, make_progression, tmp_path):
    split = {"val": 0, "test_subjects": ["03", "04"]}
    pipeline = make_progression(**SETTINGS | {"split": split, "train": MOMENT | {"seeds": 2}})

    found = cross_validate(pipeline, [four], tmp_path / "seeds")

    assert [run.folder.name for run in found.folds] == ["seed-0", "seed-1"]
    assert (found.validation.summary["n"], found.validation.summary["cases"]) == (2, 4)
    shared = json.loads((tmp_path / "seeds" / "split.json").read_text())["subjects"]
    assert {who for who, part in shared.items() if part == "test"} == {"four/03", "four/04"}
    assert "Spread over seeds" in found.validation.report.read_text(encoding="utf-8")


def test_who_a_fold_could_not_score_is_told_of_everybody_too(
    four, make_progression, tmp_path, monkeypatch
):
    score = follow_ups._score

    def score_but_one(forecaster, case, *others, **options):
        if case.subject == "four/02":
            raise VolumeReadError("ends too early")
        return score(forecaster, case, *others, **options)

    monkeypatch.setattr(follow_ups, "_score", score_but_one)

    result = cross_validate(make_progression(**SETTINGS), [four], tmp_path / "cv")

    assert result.validation.scored == ("four/01", "four/03", "four/04")
    assert [why for _, why in result.validation.unscored] == ["ends too early"]
    assert show_cross_validation(result).code is ExitCode.PARTLY
