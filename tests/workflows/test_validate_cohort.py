"""Validation of scans that a cluster made says what validation says."""

import json
import os
import shutil
import signal

import pytest

from medtranslate.cli.output import ExitCode
from medtranslate.cli.summaries import show_cohort_validation
from medtranslate.errors import ConfigError, DatasetError, GeometryError, VolumeWriteError
from medtranslate.inference.settings import InferenceChoices
from medtranslate.workflows import evaluate as evaluate_module
from medtranslate.workflows import kept_evidence, score_cohort, scoring_plan
from medtranslate.workflows import translate as translate_module
from medtranslate.workflows import translate_cohort as module
from medtranslate.workflows.distribution import distribute
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.translated_case import translate_case
from medtranslate.workflows.validate import validate
from medtranslate.workflows.validate_cohort import validate_cohort
from medtranslate.workflows.validation_choices import ValidationChoices
from medtranslate.workflows.verify import verify


@pytest.fixture(autouse=True)
def in_this_process(request, monkeypatch):
    """The work of the cluster is done here, and only the protocol's scores are taken."""
    if "slow" in request.keywords:
        return
    for place in (module, score_cohort):
        monkeypatch.setattr(
            place, "distribute", lambda job, items, *, cluster: distribute(job, items, cluster=None)
        )
    monkeypatch.setattr(scoring_plan, "choose_analyses", lambda **_: [])


@pytest.mark.parametrize("cluster", [None, "local:1"])
def test_the_scores_are_those_of_validate(cluster, trained, cohort, tmp_path):
    plain = validate(trained, [cohort], tmp_path / "plain")

    many = validate_cohort(
        trained, [cohort], tmp_path / "many", cluster=cluster, choices=ValidationChoices()
    )

    assert many.validation.summary["metrics"] == plain.summary["metrics"]
    assert many.validation.scored == ("toy/04", "toy/05")
    assert len(list((tmp_path / "many" / "predictions" / "status").iterdir())) == 2


def test_a_cluster_scores_too_and_only_what_is_left(trained, cohort, tmp_path, monkeypatch):
    plain = validate(trained, [cohort], tmp_path / "plain")
    monkeypatch.setattr(evaluate_module, "look_at", lambda *_: pytest.fail("scored here"))
    scored, look_at = [], score_cohort.look_at

    def note(case, *others):
        scored.append(case.name)
        return look_at(case, *others)

    monkeypatch.setattr(score_cohort, "look_at", note)
    for _ in range(2):
        many = validate_cohort(
            trained, [cohort], tmp_path / "many", cluster="x", choices=ValidationChoices()
        )
        assert many.validation.summary["metrics"] == plain.summary["metrics"]
        assert scored == ["toy_04", "toy_05"]

    assert verify(tmp_path / "many").holds
    (tmp_path / "many" / "evidence" / "toy_05.safetensors").unlink()
    validate_cohort(trained, [cohort], tmp_path / "many", cluster="x", choices=ValidationChoices())
    assert scored == ["toy_04", "toy_05", "toy_05"]


@pytest.mark.parametrize("place", ["worker", "scores"])
def test_who_cannot_be_scored_there_is_told(place, trained, cohort, tmp_path, monkeypatch):
    dataset = tmp_path / "toy"
    shutil.copytree(cohort, dataset)
    if place == "worker":
        (dataset / "sub-05" / "anat" / "sub-05_T2w.nii.gz").write_bytes(b"no scan")
    else:
        look_at = score_cohort.look_at

        def refuse(case, *others):
            if case.name == "toy_05":
                raise GeometryError("lies elsewhere")
            return look_at(case, *others)

        monkeypatch.setattr(score_cohort, "look_at", refuse)

    result = validate_cohort(
        trained, [dataset], tmp_path / "out", cluster="x", choices=ValidationChoices()
    )

    assert result.validation.scored == ("toy/04",)
    [(case, why)] = result.validation.unscored
    assert case == "toy_05"
    assert "sub-05" not in why
    assert show_cohort_validation(result).code is ExitCode.PARTLY
    states = {
        path.stem: json.loads(path.read_text())["state"]
        for path in (tmp_path / "out" / "status").iterdir()
    }
    assert states == {"toy_04": "done", "toy_05": "failed"}


def test_a_cluster_is_not_started_for_nobody(trained, cohort, tmp_path, monkeypatch):
    for _ in range(2):
        validate_cohort(
            trained, [cohort], tmp_path / "out", cluster="x", choices=ValidationChoices()
        )
        monkeypatch.setattr(score_cohort, "distribute", lambda *_, **__: pytest.fail("started"))


def test_a_disk_that_is_full_ends_the_command_there_too(trained, cohort, tmp_path, monkeypatch):
    def fill(path, _):
        raise VolumeWriteError(f"{path}: no space left on device")

    monkeypatch.setattr(kept_evidence, "write_bytes", fill)

    with pytest.raises(VolumeWriteError, match="no space left"):
        validate_cohort(
            trained, [cohort], tmp_path / "out", cluster="x", choices=ValidationChoices()
        )


def test_a_worker_of_another_version_scores_nobody(trained, cohort, tmp_path, monkeypatch):
    versions = iter([{"numpy": "1"}] * 2 + [{"numpy": "2"}] * 2)
    monkeypatch.setattr(score_cohort, "describe_code", lambda: next(versions))

    with pytest.raises(DatasetError, match="the worker has another numpy than this machine"):
        validate_cohort(
            trained, [cohort], tmp_path / "out", cluster="x", choices=ValidationChoices()
        )


def test_evidence_that_only_the_worker_has_is_told(trained, cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_evidence, "write_bytes", lambda *_: None)

    with pytest.raises(ConfigError, match="is not here. Give an --out that every machine sees"):
        validate_cohort(
            trained, [cohort], tmp_path / "out", cluster="x", choices=ValidationChoices()
        )


def test_who_cannot_be_predicted_is_told_and_not_scored(trained, cohort, tmp_path):
    dataset = tmp_path / "toy"
    shutil.copytree(cohort, dataset)
    (dataset / "sub-05" / "anat" / "sub-05_T1w.nii.gz").write_bytes(b"no scan")

    result = validate_cohort(
        trained, [dataset], tmp_path / "out", cluster="local:1", choices=ValidationChoices()
    )

    assert result.validation.scored == ("toy/04",)
    shown = show_cohort_validation(result)
    assert shown.code is ExitCode.PARTLY
    assert [scan["error"] is None for scan in shown.data["translation"]["scans"]] == [True, False]


def test_a_defect_that_one_person_meets_does_not_stop_the_others(
    trained, cohort, tmp_path, monkeypatch
):
    def translate_but_one(translator, case, path, **options):
        if case.subject.endswith("05"):
            raise ZeroDivisionError("John Doe")
        return translate_case(translator, case, path, **options)

    monkeypatch.setattr(translate_module, "translate_case", translate_but_one)

    result = validate_cohort(trained, [cohort], tmp_path / "out", choices=ValidationChoices())

    assert result.validation.scored == ("toy/04",)
    assert show_cohort_validation(result).code is ExitCode.PARTLY
    assert "unexpected ZeroDivisionError" in result.translation.failed[0].error


def test_how_scans_were_predicted_and_why_is_told(trained, cohort, tmp_path):
    little = ValidationChoices(inference=InferenceChoices(memory_gb=1e-4))

    result = validate_cohort(trained, [cohort], tmp_path / "out", choices=little)

    lines = [str(part) for part in show_cohort_validation(result).shown]
    told = [line for line in lines if line.startswith("Computed windows of ")]
    assert told
    assert all("the whole volume needs about" in line for line in told)


class _Kills(NoProgress):
    """Kills a worker when the first case is scored."""

    def __init__(self, pid):
        self._pid, self._stage = pid, ""

    def stage(self, name, total):
        self._stage = name

    def update(self, done, note=""):
        if self._stage == "score" and done and self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self._pid = None


@pytest.mark.slow
def test_a_worker_process_killed_while_scoring_costs_nobody(trained, cohort, tmp_path, two_workers):
    choices = ValidationChoices(protocols=())
    validate_cohort(trained, [cohort], tmp_path / "plain", choices=choices)
    result = validate_cohort(
        trained, [cohort], tmp_path / "many", cluster=two_workers.scheduler_address,
        choices=choices, progress=_Kills(two_workers.workers[0].pid),
    )  # fmt: skip

    assert result.validation.unscored == ()
    for name in ("volumes.csv", "slices.csv", "regions.csv", "sharpness.csv"):
        assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    assert verify(tmp_path / "many").holds
