"""Training end to end on tiny cohorts: who learns, what is left behind, going on after a stop."""

import itertools
import json

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from medtranslate.checkpoint import load_model, load_newest_checkpoint
from medtranslate.errors import CheckpointError, ConfigError, MemoryShortageError
from medtranslate.geometry import Geometry
from medtranslate.inference import predict
from medtranslate.inference.predict import plan_inference
from medtranslate.io import read_volume, write_volume
from medtranslate.methods import optimisation
from medtranslate.pipeline import pipeline_from_json
from medtranslate.volume import Volume
from medtranslate.workflows import prediction_plan
from medtranslate.workflows.prediction_plan import estimate_memory
from medtranslate.workflows.train import train
from medtranslate.workflows.translate import translate
from medtranslate.workflows.verify import verify

from .conftest import StopsAt

SUBJECTS = ("01", "02", "03", "04")


def _write_scan(folder, subject, contrast, voxels):
    path = folder / f"sub-{subject}" / "anat" / f"sub-{subject}_{contrast}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    write_volume(path, Volume(voxels[None].astype(np.float32), Geometry(voxels.shape, affine)))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """People whose T2w is their T1w blurred and inverted: neighbourhoods help."""
    folder = tmp_path_factory.mktemp("data") / "toy"
    for number, subject in enumerate(SUBJECTS):
        noise = np.random.default_rng(number).normal(size=(28, 26, 24))
        source = 400 + 900 * gaussian_filter(noise, 1)
        blurred = gaussian_filter(source, 1)
        inside = np.zeros(source.shape, bool)
        inside[3:25, 4:22, 2:22] = True
        _write_scan(folder, subject, "T1w", np.where(inside, np.clip(source, 20, None), 0))
        _write_scan(folder, subject, "T2w", np.where(inside, np.clip(1000 - blurred, 20, None), 0))
    (folder / "dataset_description.json").write_text('{"Name": "toy", "BIDSVersion": "1.9.0"}')
    return folder


def _pipeline(**train_settings):
    return pipeline_from_json(
        {
            "name": "toy",
            "source": "T1w",
            "target": "T2w",
            "split": {"val_subjects": ["toy/03"], "test_subjects": ["toy/04"], "val": 0, "test": 0},
            "preprocess": {"crop_margin_mm": 2.0},
            "method": {
                "name": "cgan",
                "generator": {"channels": 8, "blocks": [1, 1]},
                "adversary": {"discriminator": {"channels": 4, "num_layers": 1}},
            },
            "train": {
                "patch_size": [16, 16, 16],
                "num_steps": 8,
                "num_validations": 4,
                "precision": "32-true",
            }
            | train_settings,
        },
        where="test",
    )


def test_resuming_equals_not_stopping(cohort, tmp_path):
    pipeline = _pipeline()
    train(pipeline, [cohort], tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(pipeline, [cohort], tmp_path / "parts", progress=StopsAt(5))

    train(pipeline, [cohort], tmp_path / "parts", resume=True)

    whole, parts = (load_model(tmp_path / name).weights for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name, weights in whole.items():
        np.testing.assert_array_equal(weights.numpy(), parts[name].numpy(), err_msg=name)


def test_the_log_after_resuming_repeats_no_step(cohort, tmp_path):
    pipeline = _pipeline(num_steps=20)
    with pytest.raises(KeyboardInterrupt):
        train(pipeline, [cohort], tmp_path, progress=StopsAt(13))
    train(pipeline, [cohort], tmp_path, resume=True)

    rows = (tmp_path / "logs" / "metrics.csv").read_text().splitlines()[1:]
    steps = [int(row.split(",")[0]) for row in rows]

    assert steps == sorted(steps)
    assert len(set(steps)) >= len(steps) - 2  # a step of terms may also be one of scores
    assert steps[-1] == 20


def test_a_run_folder_says_who_was_trained_on_and_holds_no_pickle(cohort, tmp_path):
    model = train(_pipeline(num_steps=1, num_validations=1), [cohort], tmp_path)

    split = json.loads((tmp_path / "split.json").read_text())["subjects"]
    assert split == {"toy/01": "train", "toy/02": "train", "toy/03": "val", "toy/04": "test"}
    assert load_model(model).config["split"]["subjects"] == split
    assert {path.suffix for path in model.iterdir()} == {".safetensors", ".json", ".md"}
    assert set(json.loads((tmp_path / "preprocessing.json").read_text())["cases"]) == {
        "toy_01", "toy_02", "toy_03"
    }  # fmt: skip


def test_the_held_out_target_is_never_opened_for_training(cohort, tmp_path):
    """Model, scale and baselines are the same with a noise target for the test person."""
    first = load_model(train(_pipeline(num_steps=2), [cohort], tmp_path / "first"))
    target = cohort / "sub-04" / "anat" / "sub-04_T2w.nii.gz"
    kept = target.read_bytes()
    noise = np.random.default_rng(9).uniform(0, 5000, (28, 26, 24))
    try:
        _write_scan(cohort, "04", "T2w", noise)
        second = load_model(train(_pipeline(num_steps=2), [cohort], tmp_path / "second"))
    finally:
        target.write_bytes(kept)

    assert first.sha256 == second.sha256


def test_an_existing_run_is_not_overwritten(cohort, tmp_path):
    train(_pipeline(num_steps=1, num_validations=1), [cohort], tmp_path)

    with pytest.raises(ConfigError, match="holds a run already.*--resume"):
        train(_pipeline(num_steps=1, num_validations=1), [cohort], tmp_path)
    with pytest.raises(ConfigError, match="started with another pipeline"):
        train(_pipeline(num_steps=2), [cohort], tmp_path, resume=True)


def test_a_time_budget_ends_the_training(cohort, tmp_path):
    train(_pipeline(num_steps=None, time_budget="2s"), [cohort], tmp_path)

    rows = (tmp_path / "logs" / "metrics.csv").read_text().splitlines()[1:]
    validations = [row for row in rows if row.split(",")[6]]
    assert 2 <= len(validations) <= 5


def test_the_run_folder_verifies_and_names_the_scans_it_saw(cohort, tmp_path):
    model = train(_pipeline(num_steps=1, num_validations=1), [cohort], tmp_path)

    verification = verify(tmp_path, data=[cohort])

    assert verification.checks
    assert all(check.holds for check in verification.checks)
    assert sorted(load_model(model).config["inputs"].values()) == ["toy/01", "toy/02", "toy/03"]


def test_batches_that_give_no_finite_loss_are_named_and_good_weights_kept(
    cohort, tmp_path, monkeypatch
):
    def spoil(target, prediction, mask, **_):
        return prediction.sum() * float("nan")

    monkeypatch.setattr(optimisation, "reconstruction_loss", spoil)

    with pytest.raises(
        CheckpointError,
        match=r"step 2: 3 updates .* the last from toy_0[12] at \d.* of step 0, are",
    ):
        train(_pipeline(max_skipped=2), [cohort], tmp_path)

    rows = (tmp_path / "logs" / "skipped.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "0", "1", "2"]
    assert load_model(tmp_path).provenance["stopped"]["weights_of_step"] == 0


def test_the_best_weights_before_too_many_bad_updates_are_a_model_that_says_so(
    cohort, tmp_path, monkeypatch
):
    """Six good updates, then none; the good ones were validated after every second."""
    whole, count = optimisation.reconstruction_loss, itertools.count()

    def spoil(*scans, **options):
        return whole(*scans, **options) * (1 if next(count) < 6 else float("nan"))

    monkeypatch.setattr(optimisation, "reconstruction_loss", spoil)
    with pytest.raises(CheckpointError, match=r"step 7: 2 updates"):
        train(_pipeline(max_skipped=1), [cohort], tmp_path)

    model = load_model(tmp_path)
    step, state = load_newest_checkpoint(tmp_path / "checkpoints")
    stopped = {"step": 7, "num_skipped": 2, "weights_of_step": state["loop"]["best_step"]}
    assert step == 6
    assert model.provenance["stopped"] == stopped
    assert "**Training ended early**, at step 7" in (model.folder / "MODEL_CARD.md").read_text()
    assert all(check.holds for check in verify(tmp_path).checks)
    for name, weights in state["best"].items():
        torch.testing.assert_close(model.weights[name], weights, rtol=0, atol=0)
    scan = cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz"
    translate(tmp_path, [scan], tmp_path / "synthetic.nii.gz")
    assert np.isfinite(read_volume(tmp_path / "synthetic.nii.gz").array).all()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_memory_that_runs_out_in_training_is_told_and_what_was_saved_goes_on(
    error, cohort, tmp_path, monkeypatch
):
    whole, count = optimisation.reconstruction_loss, itertools.count()

    def run_out(*scans, **options):
        if next(count) == 3:
            raise error
        return whole(*scans, **options)

    monkeypatch.setattr(optimisation, "reconstruction_loss", run_out)
    with pytest.raises(
        MemoryShortageError,
        match=r"ran out .*16x16x16 voxels, 1 in .*--resume; or lower train\.pat",
    ):
        train(_pipeline(), [cohort], tmp_path)

    assert load_newest_checkpoint(tmp_path / "checkpoints")[0] == 2
    train(_pipeline(), [cohort], tmp_path, resume=True)


def test_how_often_to_save_may_change_when_a_run_goes_on(cohort, tmp_path):
    train(_pipeline(num_steps=1, num_validations=1), [cohort], tmp_path)

    pipeline = _pipeline(num_steps=1, num_validations=1, checkpoint_every="1h")
    train(pipeline, [cohort], tmp_path, resume=True)

    recorded = load_model(tmp_path).config["pipeline"]["train"]["checkpoint_every"]
    assert recorded == "1h"


def test_validation_and_calibration_plan_by_what_the_generator_takes(cohort, tmp_path, monkeypatch):
    asked = []

    def note(*arguments, bytes_per_voxel, **options):
        asked.append(bytes_per_voxel)
        return plan_inference(*arguments, bytes_per_voxel=bytes_per_voxel, **options)

    for module in (predict, prediction_plan):
        monkeypatch.setattr(module, "plan_inference", note)
    pipeline = _pipeline(num_steps=1, num_validations=1)
    train(pipeline, [cohort], tmp_path)

    assert asked == 3 * [estimate_memory(pipeline.generator_settings)], "two scores, calibration"
