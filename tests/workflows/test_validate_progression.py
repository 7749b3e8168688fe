"""Simulated follow-ups scored beside what would be expected without a model."""

import csv
import json

import numpy as np
import pytest

from medtranslate.data.visits import Visit, VisitPair
from medtranslate.errors import ConfigError
from medtranslate.io import read_volume
from medtranslate.metrics.change_baselines import COHORT_CHANGE, LINEAR_TREND, NO_CHANGE
from medtranslate.workflows.expectations import expect, prepare_earlier
from medtranslate.workflows.validate_progression import (
    follows_visits,
    run_progression,
    validate_progression,
)
from medtranslate.workflows.validation_choices import ValidationChoices


@pytest.fixture(scope="module")
def validated(foreseeing, visited, tmp_path_factory):
    """The folder of a validation on the two people held out."""
    out = tmp_path_factory.mktemp("validated") / "out"
    choices = ValidationChoices(protocols=())
    result = validate_progression(foreseeing, [visited], out, choices=choices)
    assert result.scored == ("visits/09", "visits/10")
    return out


def _rows(out):
    rows = csv.DictReader((out / "change.csv").read_text().splitlines())
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


def test_running_trains_and_scores(make_progression, visited, tmp_path):
    short = {
        "patch_size": [24, 24, 20], "num_steps": 2, "num_validations": 1, "precision": "32-true",
    }  # fmt: skip

    pipeline = make_progression(train=short, evaluation={"protocols": []})
    run_progression(pipeline, [visited], tmp_path / "run")

    assert (tmp_path / "run" / "evaluation" / "change.csv").is_file()
    assert follows_visits(tmp_path / "run")
    assert not follows_visits(tmp_path)


def test_nobody_left_to_score_is_an_error(make_progression, visited, tmp_path):
    with pytest.raises(ConfigError, match="test_subjects"):
        run_progression(
            make_progression(split={"val": 0, "folds": 2}), [visited], tmp_path / "folds"
        )
