"""One call from datasets to a report, and what a second call does with what is there."""

import json
import shutil

import pytest

from medtranslate.checkpoint import load_model
from medtranslate.errors import CheckpointError, ConfigError, DatasetError
from medtranslate.workflows import run as module
from medtranslate.workflows.run import run_pipeline
from medtranslate.workflows.validate import validate
from medtranslate.workflows.verify import verify


@pytest.fixture(scope="module")
def finished(cohort, make_pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return run_pipeline(make_pipeline(), [cohort], folder)


def test_a_run_folder_holds_what_the_architecture_says(finished):
    folder = finished.folder

    for name in (
        "pipeline.yaml",
        "split.json",
        "preprocessing.json",
        "model/weights.safetensors",
        "model/config.json",
        "model/scale.json",
        "model/MODEL_CARD.md",
        "model/provenance.json",
        "logs/metrics.csv",
        "predictions/dataset_description.json",
        "predictions/sub-04/anat/sub-04_space-T1w_desc-synthetic_T2w.nii.gz",
        "predictions/sub-04/anat/sub-04_space-T1w_desc-synthetic_T2w.json",
        "predictions/sub-05/anat/sub-05_space-T1w_desc-synthetic_T2w.nii.gz",
        "evaluation/slices.csv",
        "evaluation/volumes.csv",
        "evaluation/summary.json",
        "evaluation/protocol.json",
        "evaluation/report.html",
    ):
        assert (folder / name).is_file(), name
    assert any((folder / "checkpoints").iterdir())


def test_only_held_out_people_are_translated(finished):
    assert [scan.case for scan in finished.translation.scans] == ["toy_04", "toy_05"]
    assert finished.validation.scored == ("toy/04", "toy/05")


def test_what_is_scored_is_what_was_written(finished):
    """The scores of the run are those of evaluating its files by the sidecars' scale."""
    summary = json.loads((finished.folder / "evaluation" / "summary.json").read_text())

    assert summary["metrics"]["psnr"] == finished.validation.summary["metrics"]["psnr"]
    assert summary["n"] == 2


def test_the_model_card_holds_the_scores_and_is_signed(finished):
    card = (finished.folder / "model" / "MODEL_CARD.md").read_text()
    psnr = finished.validation.summary["metrics"]["psnr"]["mean"]

    assert f"| {psnr:.2f}" in card
    assert "Means over 2 people held out" in card
    assert "not scored" not in card
    assert verify(finished.folder).holds


def test_resuming_a_finished_run_trains_and_translates_nothing(
    finished, cohort, make_pipeline, monkeypatch
):
    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "train_in_locked", refuse)
    times = {p: p.stat().st_mtime_ns for p in finished.folder.rglob("*_T2w.nii.gz")}

    again = run_pipeline(make_pipeline(), [cohort], finished.folder, resume=True)

    assert [scan.kept for scan in again.translation.scans] == [True, True]
    assert times == {p: p.stat().st_mtime_ns for p in times}
    assert again.validation.summary["metrics"] == finished.validation.summary["metrics"]


def test_resuming_makes_the_missing_prediction_again(finished, cohort, make_pipeline):
    path = finished.translation.scans[0].output
    before = path.read_bytes()
    path.unlink()

    again = run_pipeline(make_pipeline(), [cohort], finished.folder, resume=True)

    assert [scan.kept for scan in again.translation.scans] == [False, True]
    assert path.read_bytes() == before


def test_a_finished_run_is_not_written_into_without_resume(finished, cohort, make_pipeline):
    sha256 = load_model(finished.folder).sha256

    with pytest.raises(ConfigError, match=r"holds a run already.*--resume"):
        run_pipeline(make_pipeline(), [cohort], finished.folder)

    assert load_model(finished.folder).sha256 == sha256


def test_a_run_is_not_resumed_with_other_settings(finished, cohort, make_pipeline):
    with pytest.raises(ConfigError, match="another pipeline"):
        run_pipeline(
            make_pipeline(inference={"overlap": 0.25}), [cohort], finished.folder, resume=True
        )


def test_a_run_is_not_resumed_with_other_people(finished, strangers, cohort, make_pipeline):
    with pytest.raises(ConfigError, match="another division of people"):
        run_pipeline(make_pipeline(), [cohort, strangers], finished.folder, resume=True)


@pytest.mark.usefixtures("only_coverage")
def test_a_run_with_uncertainty_scores_the_means_and_deviations_it_wrote(
    cohort, make_pipeline, tmp_path
):
    pipeline = make_pipeline(evaluation={"uncertainty": True, "protocols": []})

    result = run_pipeline(pipeline, [cohort], tmp_path / "run")

    assert all(scan.deviation.is_file() for scan in result.translation.scans)
    alone = validate(tmp_path / "run", [cohort], tmp_path / "again")
    assert result.validation.summary["coverage"] == alone.summary["coverage"]
    assert result.validation.summary["metrics"] == alone.summary["metrics"]


def test_without_validation_people_uncertainty_is_refused_before_training(
    cohort, make_pipeline, tmp_path
):
    pipeline = make_pipeline(
        split={"val": 0, "test_subjects": ["04"]}, evaluation={"uncertainty": True}
    )

    with pytest.raises(DatasetError, match="could not be calibrated"):
        run_pipeline(pipeline, [cohort], tmp_path / "run")

    assert not (tmp_path / "run").exists()


def test_without_anybody_held_out_nothing_is_trained(cohort, make_pipeline, tmp_path):
    pipeline = make_pipeline(split={"val_subjects": ["03"], "test": 0})

    with pytest.raises(DatasetError, match="holds nobody out"):
        run_pipeline(pipeline, [cohort], tmp_path / "run")

    assert not (tmp_path / "run").exists()


def test_a_model_whose_training_ended_early_is_not_taken_for_a_finished_one(
    finished, cohort, make_pipeline, tmp_path, monkeypatch
):
    run = shutil.copytree(finished.folder, tmp_path / "run")
    path = run / "model" / "provenance.json"
    stopped = {"step": 2, "num_skipped": 1, "weights_of_step": 0}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stopped": stopped}))

    def refuse(*_, **__):
        raise CheckpointError("trained again")

    monkeypatch.setattr(module, "train_in_locked", refuse)
    with pytest.raises(CheckpointError, match="trained again"):
        run_pipeline(make_pipeline(), [cohort], run, resume=True)
