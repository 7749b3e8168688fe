"""Marks and manifests of translations: what holds, what was altered, what is made again."""

import json
import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from medtranslate.errors import ConfigError
from medtranslate.inference.settings import InferenceChoices
from medtranslate.io import read_volume, write_volume
from medtranslate.io.dicom.writing import write_datasets
from medtranslate.manifest import load_signing_key, public_text, read_manifest
from medtranslate.metrics.protocol import Protocol
from medtranslate.provenance import hash_file
from medtranslate.volume import Volume
from medtranslate.workflows.evaluate import evaluate_paths
from medtranslate.workflows.preprocess import preprocess_dataset
from medtranslate.workflows.translate import translate
from medtranslate.workflows.translate_series import translate_to_dicom
from medtranslate.workflows.verify import verify

NAME = "sub-04/anat/sub-04_space-T1w_desc-synthetic_T2w.nii.gz"


@pytest.fixture
def out(trained, cohort, tmp_path):
    translate(trained, [cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz"], tmp_path / "out")
    return tmp_path / "out"


def broken(verification):
    return {check.what for check in verification.checks if not check.holds}


def test_every_mark_of_a_fresh_folder_holds(out):
    verification = verify(out)
    assert broken(verification) == set()
    assert {check.what for check in verification.checks} == {
        "signature", "file", "voxels", "descrip", "header extension", "sidecar",
        "voxels by sidecar",
    }  # fmt: skip
    manifest = read_manifest(out / "manifest.json")
    assert NAME in manifest.files
    assert manifest.public_key == public_text(load_signing_key())
    assert set(verify(out / NAME).checks) <= set(verification.checks)


def test_a_changed_voxel_is_told(out):
    volume = read_volume(out / NAME)
    array = volume.array.copy()
    array[0, 8, 8, 8] += 1
    write_volume(out / NAME, Volume(array, volume.geometry))
    assert broken(verify(out)) == {
        "file", "voxels", "voxels by sidecar", "descrip", "header extension"
    }  # fmt: skip


def test_a_file_packed_again_keeps_its_voxels_and_marks(out):
    nibabel.save(nibabel.load(out / NAME), out / NAME)
    assert broken(verify(out / NAME)) == {"file"}


def test_what_a_filter_of_another_program_loses_is_told(out):
    sitk.WriteImage(sitk.ReadImage(str(out / NAME)) * 1.5, str(out / NAME))
    found = broken(verify(out / NAME))
    assert {"file", "voxels", "header extension", "voxels by sidecar"} <= found
    assert "sidecar" not in found


def test_an_edited_manifest_and_a_file_put_in_later_are_told(out):
    data = json.loads((out / "manifest.json").read_text())
    data["made"][0]["pipeline"] = "another"
    (out / "manifest.json").write_text(json.dumps(data))
    (out / "later.txt").write_text("x")
    assert broken(verify(out)) == {"signature", "manifest"}


def test_a_manifest_signed_by_somebody_else_is_told_where_a_key_is_demanded(out, tmp_path):
    other = public_text(load_signing_key(tmp_path / "other.pem"))
    assert broken(verify(out, signer=public_text(load_signing_key()))) == set()
    assert broken(verify(out, signer=other)) == {"signature"}


def test_a_replay_makes_the_same_voxels(out, trained, cohort, tmp_path):
    moved = tmp_path / "moved.nii.gz"
    shutil.copy(cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz", moved)
    verification = verify(out, data=[moved], models=[trained], replay=True)
    assert broken(verification) == set()
    assert [check.case for check in verification.checks if check.what == "replay"] == [
        NAME.rpartition("/")[2]
    ]


def test_a_replay_from_an_altered_source_is_not_made(out, trained, cohort, tmp_path):
    volume = read_volume(cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz")
    write_volume(tmp_path / "a.nii.gz", Volume(volume.array + np.float32(1), volume.geometry))
    verification = verify(out, data=[tmp_path / "a.nii.gz"], models=[trained], replay=True)
    assert broken(verification) == {"replay"}


def test_what_a_replay_lacks_is_asked_for(out, cohort, tmp_path):
    with pytest.raises(ConfigError, match="--data"):
        verify(out, replay=True)
    with pytest.raises(ConfigError, match="--model"):
        verify(out, replay=True, data=[cohort])
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(ConfigError, match="give"):
            verify(path)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_replay_computes_in_the_precision_that_was_recorded(trained, cohort, tmp_path, precision):
    source = cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz"
    choices = InferenceChoices(engine="torch", precision=precision)
    translate(trained, [source], tmp_path / "a.nii.gz", inference=choices)
    verification = verify(tmp_path / "a.nii.gz", data=[source], models=[trained], replay=True)
    assert broken(verification) == set()


def test_a_mean_of_several_predictions_is_made_again_as_one(trained, cohort, tmp_path):
    source = cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz"
    translate(trained, [source], tmp_path / "out", uncertainty=True)
    verification = verify(tmp_path / "out", data=[source], models=[trained], replay=True)
    assert broken(verification) == set()
    assert sum(check.what == "replay" for check in verification.checks) == 1


def test_what_evaluate_wrote_holds_until_it_is_altered(cohort, tmp_path):
    anat = cohort / "sub-04" / "anat"
    reference, prediction = anat / "sub-04_T2w.nii.gz", anat / "sub-04_T1w.nii.gz"
    evaluate_paths(reference, prediction, out=tmp_path / "out", protocol=Protocol())

    assert broken(verify(tmp_path / "out")) == set()
    (made,) = read_manifest(tmp_path / "out" / "manifest.json").made
    assert made["inputs"] == {
        "sub-04": {"reference": hash_file(reference), "prediction": hash_file(prediction)}
    }
    (tmp_path / "out" / "summary.json").write_text("{}")
    assert broken(verify(tmp_path / "out")) == {"file"}


def test_what_preprocess_wrote_holds_until_it_is_altered(make_pipeline, cohort, tmp_path):
    for _ in range(2):
        preprocess_dataset(make_pipeline(), [cohort], tmp_path / "out")
        assert broken(verify(tmp_path / "out")) == set()
    volume = next((tmp_path / "out").glob("*_target.nii.gz"))
    assert volume.name in read_manifest(tmp_path / "out" / "manifest.json").files
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), volume)
    assert {"file", "voxels"} <= broken(verify(tmp_path / "out"))


def test_a_synthetic_series_holds_until_it_is_altered(trained, cohort, make_sources, tmp_path):
    volume = read_volume(cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz")
    write_datasets(tmp_path / "series", make_sources(volume))
    translate_to_dicom(trained, [tmp_path / "series"], tmp_path / "out")

    assert broken(verify(tmp_path / "out")) == set()
    slices = sorted((tmp_path / "out").rglob("*.dcm"))
    assert len(read_manifest(tmp_path / "out" / "manifest.json").files) == len(slices) + 1
    data = bytearray(slices[0].read_bytes())
    data[-1] ^= 1
    slices[0].write_bytes(data)
    assert broken(verify(tmp_path / "out")) == {"file"}
