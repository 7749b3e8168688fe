"""A BIDS dataset in, a derivative dataset out that the validator of BIDS accepts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medtranslate.errors import ConfigError, DatasetError
from medtranslate.io import read_volume
from medtranslate.io.locking import lock_folder
from medtranslate.workflows.bids_app import translate_participants
from medtranslate.workflows.translate import translate
from medtranslate.workflows.verify import verify

SAMPLE = Path(__file__).parents[2] / "sample_data"


@pytest.fixture(scope="module")
def validator():
    """The validator of BIDS that a Python package brings along."""
    found = shutil.which("bids-validator-deno", path=Path(sys.executable).parent)
    if found is None:
        pytest.skip("bids-validator-deno is not installed; the extra 'dev' brings it")
    return found


def find_issues(validator, folder):
    """Severity, code and file of each issue that the validator finds."""
    command = [validator, "--format", "json", str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    issues = json.loads(told.stdout)["issues"]["issues"]
    return {(issue["severity"], issue["code"], issue.get("location")) for issue in issues}


@pytest.fixture
def dataset(cohort, tmp_path):
    """A copy of the cohort, whose derivatives folder may be written to."""
    return shutil.copytree(cohort, tmp_path / "toy")


def test_the_derivative_of_the_sample_data_passes_the_validator(
    validator, trained, tmp_path
) -> None:
    root = tmp_path / "raw"
    names = ("dataset_description.json", "README.md", "participants.tsv", "sub-phantom01")
    root.mkdir()
    for name in names:
        (root / name).symlink_to(SAMPLE / name)
    out = root / "derivatives" / "medtranslate"

    translate_participants(trained, root, out, labels=["phantom01"])

    described = "/dataset_description.json"
    assert find_issues(validator, out) == {("warning", "TOO_FEW_AUTHORS", described)}
    assert len(list(out.rglob("*.nii.gz"))) == 1
    next(out.rglob("*_desc-synthetic_T2w.json")).unlink()
    errors = {code for severity, code, _ in find_issues(validator, out) if severity == "error"}
    assert "SIDECAR_KEY_REQUIRED" in errors, "the validator looks at nothing"


def test_standard_deviations_pass_the_validator_too(validator, trained, dataset) -> None:
    out = dataset / "derivatives" / "medtranslate"

    translate_participants(trained, dataset, out, labels=["04"], uncertainty=True)

    assert len(list(out.rglob("*.nii.gz"))) == 2
    assert not [issue for issue in find_issues(validator, out) if issue[0] == "error"]


def test_participants_are_chosen_and_equal_what_translate_makes(trained, dataset, tmp_path) -> None:
    out = dataset / "derivatives" / "medtranslate"

    made = translate_participants(trained, dataset, out, labels=["02", "sub-04"])
    translate(trained, [dataset / "sub-04/anat/sub-04_T1w.nii.gz"], tmp_path / "alone.nii.gz")

    outputs = [scan.output for scan in made.scans]
    assert [path.name[:6] for path in outputs] == ["sub-02", "sub-04"]
    np.testing.assert_array_equal(
        read_volume(outputs[1]).voxels, read_volume(tmp_path / "alone.nii.gz").voxels
    )
    assert verify(out).holds


def test_records_lead_back_to_the_source_dataset(trained, dataset) -> None:
    out = dataset / "derivatives" / "medtranslate"

    made = translate_participants(trained, dataset, out, labels=["04"])

    described = json.loads((out / "dataset_description.json").read_text())
    sidecar = json.loads(Path(str(made.scans[0].output).replace(".nii.gz", ".json")).read_text())
    name, _, inner = sidecar["Sources"][0].removeprefix("bids:").partition(":")
    assert (out / described["DatasetLinks"][name] / inner).resolve() == made.scans[0].source
    assert sidecar["SpatialReference"] == sidecar["Sources"][0]
    assert described["DatasetType"] == "derivative"
    assert described["GeneratedBy"][0]["Name"] == "medtranslate"


def test_a_second_call_keeps_what_is_there_and_signs_the_rest(trained, dataset) -> None:
    out = dataset / "derivatives" / "medtranslate"
    translate_participants(trained, dataset, out, labels=["04"])

    made = translate_participants(trained, dataset, out, labels=["04", "05"])

    assert [scan.kept for scan in made.scans] == [True, False]
    assert verify(out).holds


def test_the_mistakes_of_others_do_not_stop_a_participant(trained, dataset) -> None:
    first = dataset / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    shutil.copy(first, first.with_name("sub-01_run-2_T1w.nii.gz"))

    made = translate_participants(trained, dataset, dataset / "out", labels=["04"])

    assert len(made.scans) == 1
    with pytest.raises(DatasetError, match="sub-01_run-2_T1w"):
        translate_participants(trained, dataset, dataset / "other")


def test_a_level_that_is_not_there_is_refused(trained, dataset, tmp_path) -> None:
    for level, told in (("group", "nothing is summed up"), ("session", "the one there is")):
        with pytest.raises(ConfigError, match=told):
            translate_participants(trained, dataset, tmp_path / "out", level=level)
    assert not (tmp_path / "out").exists()


def test_an_unknown_participant_is_refused_with_those_there_are(trained, dataset, tmp_path) -> None:
    with pytest.raises(DatasetError, match="participant 09; there are: 01, 02, 03, 04, 05"):
        translate_participants(trained, dataset, tmp_path / "out", labels=["04", "09"])
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_is_refused(trained, dataset, tmp_path) -> None:
    with pytest.raises(DatasetError, match="is the source dataset"):
        translate_participants(trained, dataset, dataset)
    with pytest.raises(DatasetError, match="no such folder"):
        translate_participants(trained, tmp_path / "absent", tmp_path / "out")
    with pytest.raises(DatasetError, match="is one file"):
        translate_participants(trained, dataset, tmp_path / "out.nii.gz")
    with (
        lock_folder(tmp_path / "busy"),
        pytest.raises(ConfigError, match="is writing into this folder"),
    ):
        translate_participants(trained, dataset, tmp_path / "busy", labels=["04"])
