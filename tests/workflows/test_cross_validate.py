"""Folds are ordinary runs, and everybody is scored once by the model that never saw them."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

from medtranslate.checkpoint import load_model
from medtranslate.errors import ConfigError
from medtranslate.pipeline import read_pipeline
from medtranslate.workflows import run as run_module
from medtranslate.workflows.cross_validate import cross_validate

EVERYBODY = {f"toy/{n:02d}" for n in range(1, 6)}
SETTINGS = {"split": {"folds": 2, "val": 1}, "evaluation": {"protocols": []}}


@pytest.fixture(scope="module")
def people(cohort, tmp_path_factory):
    """The cohort with a participants table."""
    folder = tmp_path_factory.mktemp("people") / "toy"
    shutil.copytree(cohort, folder)
    rows = ["participant_id\tsex", *(f"sub-{n:02d}\t{'FM'[n > 3]}" for n in range(1, 6))]
    (folder / "participants.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def finished(people, make_pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds") / "cv"
    return cross_validate(make_pipeline(**SETTINGS), [people], folder)


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_every_person_is_held_out_once_by_a_model_that_never_saw_them(finished):
    held_out = []
    for fold in finished.folds:
        split = load_model(fold.folder).config["split"]["subjects"]
        assert {who for who, part in split.items() if part == "test"} == {*fold.validation.scored}
        held_out += fold.validation.scored

    assert sorted(held_out) == sorted(EVERYBODY)
    assert finished.validation.scored == tuple(sorted(EVERYBODY))
    assert finished.failed == ()


def test_the_common_scores_are_those_of_the_folds(finished):
    together = rows_of(finished.folder / "evaluation" / "volumes.csv")
    apart = {}
    for fold in finished.folds:
        apart |= rows_of(fold.folder / "evaluation" / "volumes.csv")

    assert together == apart
    psnr = [float(row["psnr"]) for row in together.values()]
    summary = finished.validation.summary
    assert summary["metrics"]["psnr"]["mean"] == pytest.approx(sum(psnr) / 5)
    assert summary["n"] == 5


def test_the_report_says_that_everybody_was_held_out_once(finished):
    page = finished.validation.report.read_text(encoding="utf-8")
    folds = json.loads((finished.folder / "folds.json").read_text())

    assert "Every person was held out exactly once: 2 folds" in page
    assert folds["hash"][:12] in page
    assert set(folds["subjects"]) == EVERYBODY
    assert set(folds["subjects"].values()) == {"fold-1", "fold-2"}


def test_the_participants_table_reaches_the_subgroups(finished):
    together = finished.validation.summary["subgroups"]["groups"]
    apart = [
        row
        for fold in finished.folds
        for row in fold.validation.summary["subgroups"]["groups"]
        if row["measure"] == "psnr"
    ]

    assert [(row["group"], row["n"]) for row in together[::2]] == [("F", 3), ("M", 2)]
    assert sum(row["n"] for row in apart if row["group"] == "F") == 3


def test_a_fold_is_an_ordinary_run(finished):
    split = read_pipeline(finished.folder / "fold-2" / "pipeline.yaml").split

    assert split.folds is None
    assert split.test_subjects == finished.folds[1].validation.scored


def test_resuming_trains_nothing_again(finished, people, make_pipeline, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(run_module, "train_in_locked", refuse)

    again = cross_validate(make_pipeline(**SETTINGS), [people], finished.folder, resume=True)

    assert again.validation.summary["metrics"] == finished.validation.summary["metrics"]


def test_other_people_or_another_pipeline_do_not_resume(finished, people, strangers, make_pipeline):
    with pytest.raises(ConfigError, match="started with other people"):
        cross_validate(make_pipeline(**SETTINGS), [people, strangers], finished.folder, resume=True)
    with pytest.raises(ConfigError, match="another pipeline"):
        cross_validate(make_pipeline(split={"folds": 3}), [people], finished.folder, resume=True)
    with pytest.raises(ConfigError, match="holds a run already"):
        cross_validate(make_pipeline(**SETTINGS), [people], finished.folder)


def test_without_folds_there_is_nothing_to_cross_validate(cohort, make_pipeline, tmp_path):
    with pytest.raises(ConfigError, match=r"split\.folds says in how many"):
        cross_validate(make_pipeline(), [cohort], tmp_path)
