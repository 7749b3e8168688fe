"""Validation of scans that a cluster made says what validation says."""

import shutil

import pytest

from medtranslate.cli.output import ExitCode
from medtranslate.cli.summaries import show_cohort_validation
from medtranslate.inference.settings import InferenceChoices
from medtranslate.workflows import translate as translate_module
from medtranslate.workflows import translate_cohort as module
from medtranslate.workflows import validate as validate_module
from medtranslate.workflows.distribution import distribute
from medtranslate.workflows.translated_case import translate_case
from medtranslate.workflows.validate import validate
from medtranslate.workflows.validate_cohort import validate_cohort
from medtranslate.workflows.validation_choices import ValidationChoices


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """The work of the cluster is done here, and only the protocol's scores are taken."""
    monkeypatch.setattr(
        module, "distribute", lambda job, items, *, cluster: distribute(job, items, cluster=None)
    )
    monkeypatch.setattr(validate_module, "choose_analyses", lambda **_: [])


@pytest.mark.parametrize("cluster", [None, "local:1"])
def test_the_scores_are_those_of_validate(cluster, trained, cohort, tmp_path):
    plain = validate(trained, [cohort], tmp_path / "plain")

    many = validate_cohort(
        trained, [cohort], tmp_path / "many", cluster=cluster, choices=ValidationChoices()
    )

    assert many.validation.summary["metrics"] == plain.summary["metrics"]
    assert many.validation.scored == ("toy/04", "toy/05")
    assert len(list((tmp_path / "many" / "predictions" / "status").iterdir())) == 2


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
