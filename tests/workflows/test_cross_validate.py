"""Folds are ordinary runs, and everybody is scored once by the model that never saw them."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

from medtranslate.checkpoint import load_model
from medtranslate.cli.output import ExitCode
from medtranslate.cli.summaries import show_cross_validation, show_run
from medtranslate.errors import ConfigError, DatasetError
from medtranslate.pipeline import read_pipeline
from medtranslate.workflows import evaluate
from medtranslate.workflows import run as run_module
from medtranslate.workflows.cross_validate import cross_validate, list_repeats

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


def test_who_cannot_be_scored_is_told_and_the_others_are_scored(
    finished, people, make_pipeline, tmp_path, monkeypatch
):
    look_at = evaluate.look_at

    def look_at_all_but_one(case, *others):
        if case.name == "toy_04":
            raise DatasetError("cannot be registered")
        return look_at(case, *others)

    monkeypatch.setattr(evaluate, "look_at", look_at_all_but_one)

    result = cross_validate(make_pipeline(**SETTINGS), [people], tmp_path / "cv")

    assert result.validation.scored == tuple(sorted(EVERYBODY - {"toy/04"}))
    assert result.validation.unscored == (("toy_04", "cannot be registered"),)
    assert show_cross_validation(result).code is ExitCode.PARTLY
    assert [show_run(fold).code for fold in result.folds].count(ExitCode.PARTLY) == 1
    before = rows_of(finished.folder / "evaluation" / "volumes.csv")
    del before["toy_04"]
    assert rows_of(result.folder / "evaluation" / "volumes.csv") == before


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


MOMENT = {"patch_size": [16, 16, 16], "num_steps": 4, "num_validations": 1, "precision": "32-true"}
SEEDS = {
    "split": {"test": 2, "val": 1},
    "train": {**MOMENT, "seeds": 2},
    "evaluation": {"protocols": []},
}


@pytest.fixture(scope="module")
def seeded(people, make_pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds") / "runs"
    return cross_validate(make_pipeline(**SEEDS), [people], folder)


def test_seeds_differ_in_nothing_else(seeded):
    trains = [read_pipeline(run.folder / "pipeline.yaml").train for run in seeded.folds]
    splits = [load_model(run.folder).config["split"]["subjects"] for run in seeded.folds]

    assert [run.folder.name for run in seeded.folds] == ["seed-0", "seed-1"]
    assert [train.seed for train in trains] == [0, 1]
    assert trains[0] == trains[1].model_copy(update={"seed": 0})
    assert splits[0] == splits[1]
    shared = json.loads((seeded.folder / "split.json").read_text())["subjects"]
    assert shared == splits[0]


def test_a_person_is_one_person_whatever_the_number_of_seeds(seeded):
    summary = seeded.validation.summary
    apart = [run.validation.summary["per_case"] for run in seeded.folds]
    psnr = {seed: {row["subject"]: row["psnr"] for row in rows} for seed, rows in enumerate(apart)}
    people = {who: (psnr[0][who] + psnr[1][who]) / 2 for who in psnr[0]}

    assert summary["n"] == 2
    assert summary["cases"] == 4
    assert psnr[0] != psnr[1]
    assert summary["metrics"]["psnr"]["mean"] == pytest.approx(sum(people.values()) / 2)
    sd = abs(people[min(people)] - people[max(people)]) / 2**0.5
    assert summary["metrics"]["psnr"]["sd"] == pytest.approx(sd)


def test_the_spread_over_seeds_is_shown(seeded):
    page = seeded.validation.report.read_text(encoding="utf-8")
    means = [run.validation.summary["metrics"]["ssim"]["mean"] for run in seeded.folds]

    assert "Spread over seeds" in page
    assert "by models that differ in their seed alone (0, 1)" in page
    found = seeded.validation.summary["seeds"]["ssim"]
    assert list(found["mean"].values()) == pytest.approx(means)
    assert found["sd_of_means"] == pytest.approx(abs(means[0] - means[1]) / 2**0.5)


def test_folds_and_seeds_go_together(make_pipeline):
    pipeline = make_pipeline(**SETTINGS | {"train": {**MOMENT, "seeds": 2, "seed": 5}})

    repeats = list_repeats(pipeline, [("toy/01", "toy/02"), ("toy/03",)])

    names = ["fold-1-seed-5", "fold-1-seed-6", "fold-2-seed-5", "fold-2-seed-6"]
    assert [one.name for one in repeats] == names
    assert [one.pipeline.split.test_subjects for one in repeats[1:3]] == [
        ("toy/01", "toy/02"),
        ("toy/03",),
    ]
    assert {one.pipeline.split.folds for one in repeats} == {None}
    assert {one.pipeline.train.seeds for one in repeats} == {1}
