"""Reaction and diffusion through the same commands as the network."""

import csv

import numpy as np
import pytest

from medtranslate.checkpoint import load_model
from medtranslate.data.durations import parse_durations
from medtranslate.errors import CheckpointError, ConfigError
from medtranslate.io import read_volume
from medtranslate.pipeline import read_pipeline
from medtranslate.workflows.forecaster import load_forecaster
from medtranslate.workflows.simulate import simulate
from medtranslate.workflows.train import train
from medtranslate.workflows.training_growth import rates_from_weights
from medtranslate.workflows.validate_progression import validate_progression
from medtranslate.workflows.validation_choices import ValidationChoices

GROWTH = {
    "visits": {"labels": "mask+label-tumor"},
    "method": {"name": "reaction_diffusion", "diffusivity": 2.0, "proliferation": 1.0},
    "augmentation": {},
    "train": None,
}


@pytest.fixture(scope="module")
def fitted(make_progression, visited, tmp_path_factory):
    """The run folder of rates fitted to the visits."""
    run = tmp_path_factory.mktemp("growth") / "run"
    train(make_progression(**GROWTH), [visited], run)
    return run


def test_the_rates_are_pooled_over_the_training_people(fitted):
    forecaster = load_forecaster(fitted)

    assert set(load_model(fitted).weights) == {"diffusivity", "proliferation", "spread"}
    assert 0.1 < forecaster.network.speed < 4  # half of the balls grow by 2 mm a year
    assert forecaster.speeds.log_sd > 0


def test_the_region_grows_and_at_no_time_nothing_changes(fitted, visited, tmp_path):
    stem = visited / "sub-09" / "ses-1" / "anat"
    scan, mask = (stem / f"sub-09_ses-1_{name}.nii.gz" for name in ("T1w", "label-tumor_mask"))

    out = tmp_path / "out"
    simulate(fitted, scan, parse_durations("0d,1y,2y"), out, region=mask, samples=2)

    rows = csv.DictReader((out / "trajectory.csv").read_text().splitlines())
    today, still, one, two = (float(row["volume_ml"]) for row in rows)
    assert today == still < one < two
    np.testing.assert_array_equal(
        read_volume(out / "0d" / "scan.nii.gz").array, read_volume(scan).array
    )
    assert not read_volume(out / "1y" / "jacobian.nii.gz").voxels.std() > 1e-6


def test_it_is_scored_beside_no_change(fitted, visited, tmp_path):
    choices = ValidationChoices(protocols=())
    result = validate_progression(fitted, [visited], tmp_path / "out", choices=choices)

    assert result.scored == ("visits/09", "visits/10")
    rows = csv.DictReader((tmp_path / "out" / "change.csv").read_text().splitlines())
    dices = {row["method"]: float(row["dice"]) for row in rows if row["subject"] == "visits/09"}
    assert dices["visits"] > dices["no change"]  # sub-09 is one of those that grow


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"visits": {}}, "needs visits.labels"),
        (
            {"visits": {"labels": "dseg", "covariates": ["dose"]}},
            r"would not use visits\.covariates \(dose\); leave them out",
        ),
        ({"train": {"num_steps": 10}}, "fitted, not trained, and would not use train; leave it"),
        (
            {"train": {"num_steps": 10}, "augmentation": {"affine_probability": 0.5}},
            "would not use train and augmentation; leave them out",
        ),
    ],
)
def test_it_needs_a_region_and_refuses_what_it_would_not_use(make_progression, changes, message):
    with pytest.raises(ConfigError, match=message):
        make_progression(**(GROWTH | changes))


def test_a_covariate_is_refused_when_it_simulates(fitted, visited, tmp_path):
    stem = visited / "sub-09" / "ses-1" / "anat"
    scan, mask = (stem / f"sub-09_ses-1_{name}.nii.gz" for name in ("T1w", "label-tumor_mask"))

    with pytest.raises(ConfigError, match="unknown covariate dose; known: none"):
        simulate(
            fitted, scan, parse_durations("1y"), tmp_path, region=mask, covariates={"dose": 1.0}
        )


def test_a_run_without_training_settings_says_so(fitted):
    recorded = read_pipeline(fitted / "pipeline.yaml")

    assert recorded.train is None
    assert (
        "fitted, without updates, medtranslate" in (fitted / "model" / "MODEL_CARD.md").read_text()
    )
    with pytest.raises(ConfigError, match="is fitted; it has no updates"):
        _ = recorded.training


def test_other_weights_are_refused():
    with pytest.raises(CheckpointError, match="expected the weights"):
        rates_from_weights({"velocity": None})
