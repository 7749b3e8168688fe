"""Simulated follow-ups scored beside what would be expected without a model."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from medtranslate.checkpoint import load_model
from medtranslate.cli.output import ExitCode
from medtranslate.cli.summaries import show_validation
from medtranslate.data.visits import Visit, VisitPair
from medtranslate.errors import ConfigError, DatasetError, VolumeReadError
from medtranslate.io import read_volume
from medtranslate.metrics.change_baselines import COHORT_CHANGE, LINEAR_TREND, NO_CHANGE
from medtranslate.workflows import follow_ups
from medtranslate.workflows import validate_progression as validate_progression_module
from medtranslate.workflows.expectations import expect, prepare_earlier
from medtranslate.workflows.run import run_pipeline
from medtranslate.workflows.validate_progression import follows_visits, validate_progression
from medtranslate.workflows.validation_choices import ValidationChoices
from medtranslate.workflows.verify import verify


@pytest.fixture(scope="module")
def validated(foreseeing, visited, tmp_path_factory):
    """The folder of a validation on the two people held out."""
    out = tmp_path_factory.mktemp("validated") / "out"
    choices = ValidationChoices(protocols=())
    result = validate_progression(foreseeing, [visited], out, choices=choices)
    assert result.scored == ("visits/09", "visits/10")
    return out


def _read(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def _rows(out):
    rows = _read(out / "change.csv")
    return {(row["subject"].partition("/")[2], row["method"]): row for row in rows}


def test_the_model_stands_beside_no_change_and_the_cohorts_mean(validated):
    summary = json.loads((validated / "summary.json").read_text())

    assert summary["model"] == "visits"
    assert set(summary["baselines"]) == {NO_CHANGE, COHORT_CHANGE}
    assert {row["method"] for row in summary["change"]["by_method"]} == {
        "visits", NO_CHANGE, COHORT_CHANGE,
    }  # fmt: skip
    assert "Change" in (validated / "report.html").read_text()


def test_volumes_and_regions_are_those_of_the_labels(validated, visited):
    today, later = (
        read_volume(
            visited / "sub-09" / f"ses-{n}" / "anat" / f"sub-09_ses-{n}_label-tumor_mask.nii.gz"
        )
        for n in (1, 2)
    )
    voxel_ml = float(np.prod(today.geometry.spacing)) / 1000
    true_ml = (int(later.voxels.sum()) - int(today.voxels.sum())) * voxel_ml

    row = _rows(validated)["09", NO_CHANGE]

    assert float(row["change_true_ml"]) == pytest.approx(true_ml)
    assert float(row["change_ml"]) == 0
    assert float(row["error_ml"]) == pytest.approx(-true_ml)
    overlap = (today.voxels > 0) & (later.voxels > 0)
    dice = 2 * overlap.sum() / (today.voxels.sum(dtype=int) + later.voxels.sum(dtype=int))
    assert float(row["dice"]) == pytest.approx(dice)
    assert row["correlation"] == ""  # nothing changes


def test_the_spread_is_that_of_drawn_futures(validated):
    summary = json.loads((validated / "summary.json").read_text())["spread"]

    assert summary["futures"] == 19
    assert set(summary["positions"]) == {"visits/09", "visits/10"}
    assert "spread of simulated futures" in (validated / "report.html").read_text()
    width = {row["subject"]: float(row["width_ml"]) for row in _read(validated / "spread.csv")}
    assert width["visits/09"] > 0  # it grows, so that futures of several speeds differ


def test_two_steps_of_motion_are_one_and_simulating_again_is_told_apart(validated):
    rows = {row["subject"]: row for row in _read(validated / "consistency.csv")}

    assert {float(row["field_mean"]) < 0.1 for row in rows.values()} == {True}
    assert float(rows["visits/09"]["again_mean"]) > float(rows["visits/09"]["field_mean"])
    assert 0.3 < float(rows["visits/09"]["again_dice"]) <= 1
    assert {float(row["reversals"]) for row in rows.values()} == {0}


def test_who_cannot_be_followed_is_told_and_the_others_are_scored(
    validated, foreseeing, visited, tmp_path, monkeypatch
):
    score = follow_ups._score

    def score_but_one(forecaster, case, *others, **options):
        if case.subject == "visits/09":
            raise VolumeReadError(f"{case.target}: ends too early")
        return score(forecaster, case, *others, **options)

    monkeypatch.setattr(follow_ups, "_score", score_but_one)

    result = validate_progression(
        foreseeing, [visited], tmp_path, choices=ValidationChoices(protocols=())
    )

    assert result.scored == ("visits/10",)
    [(name, why)] = result.unscored
    assert why == "ends too early"
    together = _read(validated / "volumes.csv")
    assert _read(tmp_path / "volumes.csv") == [row for row in together if row["case"] != name]
    assert show_validation(result).code is ExitCode.PARTLY


def test_nobody_is_simulated_and_scored_twice(validated, foreseeing, visited, monkeypatch):
    before = {path.name: path.read_bytes() for path in validated.glob("*.*") if path.is_file()}
    monkeypatch.setattr(follow_ups, "_score", lambda *_, **__: pytest.fail("scored again"))

    result = validate_progression(
        foreseeing, [visited], validated, choices=ValidationChoices(protocols=())
    )

    assert result.scored == ("visits/09", "visits/10")
    after = {path.name: path.read_bytes() for path in validated.glob("*.*") if path.is_file()}
    assert {name for name in after if after[name] != before[name]} == {"manifest.json"}
    assert verify(validated).holds


@pytest.mark.parametrize(
    "change", [{"interval_years": 2.5}, {"covariates": {"dose": 7.0}}, {"earlier": True}]
)
def test_other_times_and_covariates_are_scored_again(
    change, validated, foreseeing, visited, tmp_path, monkeypatch
):
    shutil.copytree(validated, tmp_path / "out")
    scored = []

    def note(_, case, *__, **___):
        scored.append(case.name)
        raise VolumeReadError("is enough to know")

    monkeypatch.setattr(follow_ups, "_score", note)
    pair_scans = validate_progression_module.pair_scans

    def pair_otherwise(pipeline, indexes):
        cases, pairs = pair_scans(pipeline, indexes)
        name = next(case.name for case in cases if case.subject == "visits/10")
        changed = {"earlier": (pairs[name].baseline,)} if "earlier" in change else change
        return cases, pairs | {name: replace(pairs[name], **changed)}

    monkeypatch.setattr(validate_progression_module, "pair_scans", pair_otherwise)
    validate_progression(
        foreseeing, [visited], tmp_path / "out", choices=ValidationChoices(protocols=())
    )

    assert [name.partition("_ses")[0] for name in scored] == ["visits_10"]


def test_choices_for_models_of_contrasts_are_refused(foreseeing, visited, tmp_path):
    with pytest.raises(ConfigError, match="--format dicom"):
        validate_progression(
            foreseeing, [visited], tmp_path / "out", choices=ValidationChoices(dicom="keep")
        )
    with pytest.raises(ConfigError, match="--audit"):
        validate_progression(
            foreseeing, [visited], tmp_path / "out", choices=ValidationChoices(audit=True)
        )


def test_a_linear_trend_goes_on_as_between_the_last_two_visits(make_progression, visited):
    pipeline = make_progression()
    first, second = (
        Visit(
            str(n),
            visited / "sub-09" / f"ses-{n}" / "anat" / f"sub-09_ses-{n}_T1w.nii.gz",
            2.0 * (n - 1),
            visited / "sub-09" / f"ses-{n}" / "anat" / f"sub-09_ses-{n}_label-tumor_mask.nii.gz",
        )
        for n in (1, 2)
    )
    pair = VisitPair("p", "d", "d/p", second, second, (first,), interval_years=1.0)
    both = prepare_earlier(pipeline, pair, first)

    found = expect({}, pipeline, pair, both, trend=True)[LINEAR_TREND]

    now, then = (float(np.asarray(one).sum()) for one in (both.label, both.later))
    inside = np.asarray(both.mask)[0] > 0
    moved = (np.asarray(both.source) - np.asarray(both.target))[0]
    assert now > then
    assert found.growth == pytest.approx(1 + 0.5 * (now - then) / now)
    np.testing.assert_allclose(found.change[inside], 0.5 * moved[inside], atol=1e-6)


def test_a_run_trains_scores_and_enters_the_scores_in_the_card(make_progression, visited, tmp_path):
    short = {
        "patch_size": [24, 24, 20], "num_steps": 2, "num_validations": 1, "precision": "32-true",
    }  # fmt: skip
    pipeline = make_progression(train=short, evaluation={"protocols": [], "samples": 0})

    result = run_pipeline(pipeline, [visited], tmp_path / "run")

    assert result.validation.scored == ("visits/09", "visits/10")
    assert "translation" not in result.to_json()
    assert (tmp_path / "run" / "evaluation" / "change.csv").is_file()
    assert not (tmp_path / "run" / "evaluation" / "spread.csv").exists()
    card = (tmp_path / "run" / "model" / "MODEL_CARD.md").read_text()
    dice = next(
        row["dice"]["mean"]
        for row in result.validation.summary["change"]["by_method"]
        if row["method"] == "visits"
    )
    assert "Simulates what a T1w scan may look like at a later time." in card
    change = [line for line in card.splitlines() if line.startswith("| visits |")][-1]
    assert f" {dice:.3f} " in change
    assert load_model(tmp_path / "run").provenance["scores"]["change"]["dice"] == dice
    assert verify(tmp_path / "run").holds
    assert follows_visits(tmp_path / "run")
    assert not follows_visits(tmp_path)


def test_nobody_held_out_is_told_before_training(make_progression, visited, tmp_path):
    with pytest.raises(DatasetError, match="holds nobody out"):
        run_pipeline(make_progression(split={"val": 0, "test": 0}), [visited], tmp_path / "run")

    assert not (tmp_path / "run" / "model").exists()
