"""What was stopped and then called again leaves what one call would have, and all of it signed."""

import signal

import pytest

from medtranslate.manifest import read_manifest
from medtranslate.workflows import score_cohort, scoring_plan
from medtranslate.workflows import train as train_module
from medtranslate.workflows import translate_cohort as translate_cohort_module
from medtranslate.workflows.bids_app import translate_participants
from medtranslate.workflows.distribution import distribute
from medtranslate.workflows.interruption import StopRequested
from medtranslate.workflows.preprocess import preprocess_dataset
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.run import run_pipeline
from medtranslate.workflows.train import train
from medtranslate.workflows.translate import translate
from medtranslate.workflows.translate_cohort import ModelChoice, translate_on_cluster
from medtranslate.workflows.validate_cohort import validate_cohort
from medtranslate.workflows.validation_choices import ValidationChoices
from medtranslate.workflows.verify import verify


class _StopsAt(NoProgress):
    """Is asked to stop when a stage has done some of its work; nothing is tidied up after."""

    def __init__(self, stage, done):
        self._wanted, self._done, self._stage = stage, done, ""

    def stage(self, name, total):
        self._stage = name

    def update(self, done, note=""):
        if (self._stage, done) == (self._wanted, self._done):
            raise StopRequested(signal.SIGTERM)


def stop_and_finish(job, *, stage, done):
    """Call a job that is stopped half-way, and again."""
    with pytest.raises(StopRequested):
        job(_StopsAt(stage, done))
    return job(NoProgress())


def broken(out):
    """The checks of `verify` that do not hold."""
    return [(check.case, check.detail) for check in verify(out).checks if not check.holds]


@pytest.fixture
def call_translate(trained, cohort, tmp_path):
    return lambda progress: translate(trained, [cohort], tmp_path / "out", progress=progress)


def test_translated_scans_are_kept_and_signed(call_translate, tmp_path):
    result = stop_and_finish(call_translate, stage="translate", done=3)

    assert [scan.kept for scan in result.scans] == [True, True, False, False, False]
    assert broken(tmp_path / "out") == []
    assert len(read_manifest(tmp_path / "out" / "manifest.json").files) == 2 + 5 * 3


def test_what_a_stranger_put_there_in_between_is_not_signed(call_translate, tmp_path):
    with pytest.raises(StopRequested):
        call_translate(_StopsAt("translate", 3))
    (tmp_path / "out" / "theirs.txt").write_text("put there by somebody")
    call_translate(NoProgress())

    assert broken(tmp_path / "out") == [("theirs.txt", "does not list this file: added later")]


@pytest.mark.parametrize(
    ("pattern", "old", "new"),
    [
        ("sub-01/anat/*.nii.gz", b"\x1f\x8b", b"\x1f\x8c"),
        ("sub-01/anat/*.json", b"arbitrary", b"imaginary"),
        ("status/*01.json", b'"done"', b'"made"'),
        ("status/*01.json", b'"output"', b'"result"'),
    ],
)
def test_a_scan_that_was_altered_in_between_is_made_again(
    pattern, old, new, call_translate, tmp_path
):
    with pytest.raises(StopRequested):
        call_translate(_StopsAt("translate", 3))
    (altered,) = (tmp_path / "out").glob(pattern)
    altered.write_bytes(altered.read_bytes().replace(old, new))
    result = call_translate(NoProgress())

    assert [scan.kept for scan in result.scans] == [False, True, False, False, False]
    assert broken(tmp_path / "out") == []


def test_a_scan_whose_call_was_killed_before_it_was_recorded_is_made_again(
    call_translate, tmp_path
):
    call_translate(NoProgress())
    (tmp_path / "out" / "manifest.json").unlink()
    (tmp_path / "out" / "status" / "toy_02.json").unlink()
    result = call_translate(NoProgress())

    assert [scan.kept for scan in result.scans] == [True, False, True, True, True]
    assert broken(tmp_path / "out") == []


def test_scans_that_a_manifest_alone_lists_are_kept(call_translate, tmp_path):
    call_translate(NoProgress())
    for path in (tmp_path / "out" / "status").iterdir():
        path.unlink()

    assert all(scan.kept for scan in call_translate(NoProgress()).scans)


@pytest.fixture
def in_this_process(monkeypatch):
    """The work of the cluster is done here."""
    for place in (translate_cohort_module, score_cohort):
        monkeypatch.setattr(
            place, "distribute", lambda job, items, *, cluster: distribute(job, items, cluster=None)
        )


def test_scans_of_a_cluster_are_kept_and_signed(trained, cohort, tmp_path, in_this_process):
    def job(progress):
        choice, out = ModelChoice(trained), tmp_path / "out"
        return translate_on_cluster(choice, [cohort], out, cluster="local:1", progress=progress)

    result = stop_and_finish(job, stage="translate", done=3)

    assert [scan.kept for scan in result.scans] == [True, True, True, False, False]
    assert broken(tmp_path / "out") == []


def test_a_derivative_dataset_is_signed(trained, cohort, tmp_path):
    def job(progress):
        out = tmp_path / "out"
        return translate_participants(trained, cohort, out, level="participant", progress=progress)

    assert any(scan.kept for scan in stop_and_finish(job, stage="translate", done=3).scans)
    assert broken(tmp_path / "out") == []


def test_prepared_scans_are_signed(make_pipeline, cohort, tmp_path):
    def job(progress):
        return preprocess_dataset(make_pipeline(), [cohort], tmp_path / "out", progress=progress)

    assert len(stop_and_finish(job, stage="prepare", done=3).kept) == 3
    assert broken(tmp_path / "out") == []


def test_scored_scans_are_signed(trained, cohort, tmp_path, monkeypatch, in_this_process):
    monkeypatch.setattr(scoring_plan, "choose_analyses", lambda **_: [])

    def job(progress):
        return validate_cohort(
            trained, [cohort], tmp_path / "out",
            cluster="local:1", choices=ValidationChoices(), progress=progress,
        )  # fmt: skip

    result = stop_and_finish(job, stage="translate", done=1)

    assert [scan.kept for scan in result.translation.scans] == [True, False]
    assert broken(tmp_path / "out") == []


def test_a_trained_model_is_signed(make_pipeline, cohort, tmp_path):
    def job(progress):
        return train(make_pipeline(), [cohort], tmp_path / "run", resume=True, progress=progress)

    stop_and_finish(job, stage="prepare", done=1)

    assert broken(tmp_path / "run") == []


def test_a_run_is_signed(make_pipeline, cohort, tmp_path):
    def job(progress):
        run = tmp_path / "run"
        return run_pipeline(make_pipeline(), [cohort], run, resume=True, progress=progress)

    result = stop_and_finish(job, stage="translate", done=2)

    assert [scan.kept for scan in result.translation.scans] == [True, False]
    assert broken(tmp_path / "run") == []


def test_a_run_that_was_killed_before_its_training_was_signed_signs_the_model(
    make_pipeline, cohort, tmp_path, monkeypatch
):
    def die(*_, **__):
        raise StopRequested(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "sign_outputs", die)
        with pytest.raises(StopRequested):
            run_pipeline(make_pipeline(), [cohort], tmp_path / "run")
    assert (tmp_path / "run" / "model" / "config.json").is_file()
    run_pipeline(make_pipeline(), [cohort], tmp_path / "run", resume=True)

    assert broken(tmp_path / "run") == []
