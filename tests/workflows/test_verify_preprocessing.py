import json
import shutil

import numpy as np
import pytest

from medtranslate.errors import ConfigError
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume, write_volume
from medtranslate.volume import Volume
from medtranslate.workflows import verify_preprocessing as verify_module
from medtranslate.workflows.checks import Verification
from medtranslate.workflows.found_inputs import find_inputs
from medtranslate.workflows.preprocess import RECORD_FILE, preprocess_dataset
from medtranslate.workflows.verify_preprocessing import check_preprocessing


@pytest.fixture
def dataset(cohort, tmp_path):
    """Two people of the cohort that a test may spoil."""
    copy = tmp_path / "toy"
    copy.mkdir()
    shutil.copy(cohort / "dataset_description.json", copy)
    for subject in ("sub-01", "sub-02"):
        shutil.copytree(cohort / subject, copy / subject)
    return copy


@pytest.fixture
def folder(dataset, make_pipeline, tmp_path):
    """What ``preprocess`` wrote for them."""
    preprocess_dataset(make_pipeline(), [dataset], tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def verify_folder(dataset):
    """Compares a folder with its record, and finds the inputs in the dataset."""
    return lambda folder: Verification(folder, check_preprocessing(folder, find_inputs([dataset])))


def broken(verification):
    return {(check.case[-2:], check.what) for check in verification.checks if not check.holds}


def test_an_untouched_folder_holds(folder, verify_folder):
    verification = verify_folder(folder)
    assert verification.holds
    assert broken(verification) == set()
    whats = [check.what for check in verification.checks if check.case.endswith("01")]
    assert sorted(whats) == sorted(
        ["settings", "versions", "input source", "input target"]
        + [f"{kind} {role}" for kind in ("output", "file") for role in
           ("source", "target", "mask", "seen")]
    )  # fmt: skip


def test_a_changed_voxel_in_an_input_is_told(folder, dataset, verify_folder):
    path = dataset / "sub-02" / "anat" / "sub-02_T2w.nii.gz"
    volume = read_volume(path)
    voxels = volume.array.copy()
    voxels[0, 10, 10, 8] += 1
    write_volume(path, Volume(voxels, volume.geometry))
    assert broken(verify_folder(folder)) == {("02", "input target"), ("02", "outputs")}


def test_a_moved_grid_is_told(folder, dataset, verify_folder):
    path = dataset / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    volume = read_volume(path)
    affine = volume.geometry.affine.copy()
    affine[2, 3] += 0.5
    write_volume(path, Volume(volume.array, Geometry(volume.geometry.shape, affine)))
    assert ("01", "input source") in broken(verify_folder(folder))


def test_a_file_written_again_with_equal_voxels_holds(folder, dataset, verify_folder):
    path = dataset / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    volume = read_volume(path)
    path.unlink()
    write_volume(path, volume, description="another header text", dtype=np.int16)
    assert verify_folder(folder).holds


def test_an_absent_input_is_told(folder, dataset, verify_folder):
    (dataset / "sub-01" / "anat" / "sub-01_T2w.nii.gz").unlink()
    verification = verify_folder(folder)
    assert broken(verification) == {("01", "input target"), ("01", "outputs")}
    (check,) = [c for c in verification.checks if c.what == "input target" and not c.holds]
    assert "absent or altered" in check.detail


def test_a_changed_or_absent_output_file_is_told(folder, verify_folder):
    masks = sorted(folder.glob("*_mask.nii.gz"))
    masks[0].write_bytes(masks[0].read_bytes()[:-1] + b"x")
    masks[1].unlink()
    assert broken(verify_folder(folder)) == {("01", "file mask"), ("02", "file mask")}


def test_a_record_that_was_edited_is_told(folder, verify_folder):
    record = json.loads((folder / RECORD_FILE).read_text())
    record["settings"]["crop_margin_mm"] = 3.0
    (folder / RECORD_FILE).write_text(json.dumps(record))
    found = broken(verify_folder(folder))
    assert ("01", "settings") in found
    assert ("01", "output source") in found


def test_another_version_of_a_library_is_told_with_both_numbers(folder, monkeypatch, verify_folder):
    found = verify_module.used_versions() | {"monai": "0.9"}
    monkeypatch.setattr(verify_module, "used_versions", lambda: found)
    verification = verify_folder(folder)
    assert broken(verification) == {("01", "versions"), ("02", "versions")}
    assert "now 0.9" in next(c.detail for c in verification.checks if not c.holds)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"settings": {}, "cases": {}}', "{nonsense",
                                  '{"settings": {}, "cases": {"a": {}}}'])  # fmt: skip
def test_a_folder_without_a_usable_record_is_refused(tmp_path, text, verify_folder):
    with pytest.raises(ConfigError, match="no such file"):
        verify_folder(tmp_path)
    (tmp_path / RECORD_FILE).write_text(text)
    with pytest.raises(ConfigError, match="damaged"):
        verify_folder(tmp_path)
