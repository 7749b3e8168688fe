"""Translations with a watermark: found with the key, told in the records, made again."""

import json
import shutil

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medtranslate.errors import ConfigError, VolumeWriteError
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume, write_volume
from medtranslate.io.dicom.writing import write_datasets
from medtranslate.manifest import read_manifest
from medtranslate.volume import Volume
from medtranslate.watermark import find_watermark_key, read_watermark_key
from medtranslate.workflows.translate import translate
from medtranslate.workflows.translate_series import translate_to_dicom
from medtranslate.workflows.verify import verify

SHAPE = (60, 64, 48)
NAME = "sub-09/anat/sub-09_space-T1w_desc-synthetic_T2w.nii.gz"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A T1w that is large enough to carry a watermark."""
    draw = np.random.default_rng(9)
    texture = gaussian_filter(draw.normal(size=SHAPE), 1.5)
    grid = np.meshgrid(*(np.linspace(-1.2, 1.2, size) for size in SHAPE), indexing="ij")
    inside = np.clip(3 - 3 * sum(axis**2 for axis in grid), 0, 1)
    voxels = np.rint(inside * (500 + 120 * texture / texture.std())).astype(np.float32)
    path = tmp_path_factory.mktemp("source") / "sub-09_T1w.nii.gz"
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    write_volume(path, Volume(voxels[None], Geometry(SHAPE, affine)))
    return path


@pytest.fixture(scope="module")
def key_file(own_settings):
    return find_watermark_key()


@pytest.fixture(scope="module")
def marked(trained, source, key_file, tmp_path_factory):
    """A folder with one marked scan."""
    out = tmp_path_factory.mktemp("marked") / "out"
    translate(trained, [source], out, watermark_key=key_file)
    return out


def watermarks(verification):
    return [check for check in verification.checks if check.what == "watermark"]


def write_key(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_marked_scan_holds_and_is_found_by_its_key_alone(marked, key_file, tmp_path):
    verification = verify(marked, watermark_key=key_file)
    assert verification.holds
    (check,) = watermarks(verification)
    assert check.case == NAME.rpartition("/")[2]
    assert "needed" in check.detail

    (other,) = watermarks(verify(marked, watermark_key=write_key(tmp_path / "k", "ab" * 32)))
    assert not other.holds
    assert read_watermark_key(key_file).identity in other.detail


def test_it_is_found_in_a_bare_file_of_whole_numbers(marked, key_file, tmp_path):
    scan = read_volume(marked / NAME)
    write_volume(tmp_path / "a.nii.gz", scan, dtype=np.int16)
    (check,) = watermarks(verify(tmp_path / "a.nii.gz", watermark_key=key_file))
    assert check.holds


def test_records_name_the_key_and_never_tell_it(marked, key_file):
    key = read_watermark_key(key_file)
    told = {"Key": key.identity, "StrengthDb": 52.0}
    sidecar = json.loads(
        (marked / NAME).with_name("sub-09_space-T1w_desc-synthetic_T2w.json").read_text()
    )
    assert sidecar["Watermark"] == told
    (made,) = read_manifest(marked / "manifest.json").made
    assert made["watermark"] == told
    secret = key.secret.hex().encode()
    texts = [path.read_bytes() for path in marked.rglob("*") if path.suffix in (".json", "")
             and path.is_file()]  # fmt: skip
    assert len(texts) > 3
    assert not any(secret in text or key.secret in text for text in texts)


def test_without_the_option_nothing_but_the_mark_is_missing(trained, source, marked, tmp_path):
    translate(trained, [source], tmp_path / "plain.nii.gz")
    plain, with_mark = read_volume(tmp_path / "plain.nii.gz"), read_volume(marked / NAME)
    assert "Watermark" not in json.loads((tmp_path / "plain.json").read_text())
    difference = with_mark.voxels - plain.voxels
    shown = plain.voxels != 0
    np.testing.assert_array_equal(difference[~shown], 0)
    reach = np.percentile(plain.voxels[shown], 99.5)
    power = np.square(difference[shown], dtype=np.float64).mean()
    np.testing.assert_allclose(10 * np.log10(reach**2 / power), 52, atol=0.2)


def test_a_replay_needs_the_key_and_makes_the_same_voxels(trained, source, marked, key_file):
    def replays(**options):
        found = verify(marked, data=[source], models=[trained], replay=True, **options)
        return [check for check in found.checks if check.what == "replay"]

    assert [check.holds for check in replays(watermark_key=key_file)] == [True]
    (without,) = replays()
    assert not without.holds
    assert "--watermark-key" in without.detail


def test_a_scan_is_kept_only_if_it_carries_the_mark_that_is_asked_for(
    trained, source, marked, key_file, tmp_path
):
    out = tmp_path / "out"
    shutil.copytree(marked, out)
    kept = [
        translate(trained, [source], out, watermark_key=key).scans[0].kept
        for key in (key_file, None, None, key_file)
    ]
    assert kept == [True, False, True, False]


def test_verify_tells_that_a_key_is_wanted(marked):
    verification = verify(marked)
    assert watermarks(verification) == []
    assert any("--watermark-key" in note for note in verification.notes)


def test_a_scan_that_is_too_small_is_refused_and_not_written(trained, cohort, key_file, tmp_path):
    small = cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz"
    with pytest.raises(VolumeWriteError, match="too small or too plain"):
        translate(trained, [small], tmp_path / "a.nii.gz", watermark_key=key_file)
    assert list(tmp_path.iterdir()) == []


def test_standard_deviations_carry_no_mark(trained, source, key_file, tmp_path):
    translate(trained, [source], tmp_path / "out", uncertainty=True, watermark_key=key_file)
    (check,) = watermarks(verify(tmp_path / "out", watermark_key=key_file))
    assert check.holds
    assert check.case == NAME.rpartition("/")[2]


def test_a_series_is_marked_and_found_in_its_slices_alone(
    trained, source, key_file, make_sources, tmp_path
):
    write_datasets(tmp_path / "series", make_sources(read_volume(source)))
    translate_to_dicom(trained, [tmp_path / "series"], tmp_path / "out", watermark_key=key_file)
    verification = verify(tmp_path / "out", watermark_key=key_file)
    assert verification.holds
    assert len(watermarks(verification)) == 1
    (series,) = (tmp_path / "out").glob("*/series")
    shutil.copytree(series, tmp_path / "bare")
    (check,) = watermarks(verify(tmp_path / "bare", watermark_key=key_file))
    assert check.holds
    assert verify(tmp_path / "out").notes


def test_a_key_that_is_not_there_stops_the_work_before_it_begins(trained, source, tmp_path):
    with pytest.raises(ConfigError, match="Give where it lies"):
        translate(trained, [source], tmp_path / "out", watermark_key=tmp_path / "absent")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_looked_at_is_told(marked, key_file, tmp_path):
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((9, 9, 9), np.float32), np.eye(4)), tmp_path / "a.nii.gz"
    )
    (check,) = watermarks(verify(tmp_path / "a.nii.gz", watermark_key=key_file))
    assert not check.holds
    assert "same everywhere" in check.detail
