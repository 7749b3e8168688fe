"""A scan is told by all that its files hold, and by nothing that they are called."""

import os
import shutil
import zipfile

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from medtranslate.errors import VolumeReadError
from medtranslate.io.content import hash_content, hash_input
from medtranslate.io.dicom.writing import write_datasets
from medtranslate.provenance import hash_file


def change_last_byte(path):
    """Change one byte; size and date stay as they were."""
    before, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def write_nifti_pair(folder):
    nibabel.save(nibabel.Nifti1Pair(np.ones((4, 5, 6), np.int16), np.eye(4)), folder / "a.hdr")


def write_with_itk(folder, suffix):
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 5, 6), np.int16)), folder / f"a{suffix}")


@pytest.mark.parametrize(
    ("header", "voxels"),
    [("a.hdr", "a.img"), ("a.img", "a.img"), ("a.mhd", "a.raw"), ("a.nhdr", "a.raw")],
)
def test_voxels_in_a_file_of_their_own_count(header, voxels, tmp_path):
    write_nifti_pair(tmp_path)
    for suffix in (".mhd", ".nhdr"):
        write_with_itk(tmp_path, suffix)
    before = hash_content(tmp_path / header)
    change_last_byte(tmp_path / voxels)
    assert hash_content(tmp_path / header) != before


@pytest.fixture
def series(oblique_volume, make_sources, tmp_path):
    write_datasets(tmp_path / "series", make_sources(oblique_volume))
    return tmp_path / "series"


def test_one_pixel_of_one_slice_counts_and_names_and_hidden_files_do_not(series, tmp_path):
    before = hash_content(series)
    moved = tmp_path / "moved"
    shutil.copytree(series, moved)
    (moved / "0003.dcm").rename(moved / "other.dcm")
    (moved / ".DS_Store").write_bytes(b"x")
    assert hash_content(moved) == before

    change_last_byte(moved / "other.dcm")
    assert hash_content(moved) != before


def test_the_files_below_a_dicomdir_count(series):
    (series / "DICOMDIR").write_bytes(b"list")
    before = hash_content(series / "DICOMDIR")
    change_last_byte(series / "0002.dcm")
    assert hash_content(series / "DICOMDIR") != before


def test_a_zip_or_a_single_file_is_told_by_its_bytes(series, tmp_path):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for path in series.iterdir():
            archive.write(path, path.name)
    assert hash_input(tmp_path / "s.zip") == hash_file(tmp_path / "s.zip")


def test_which_series_and_which_repairs_count_for_what_is_read(series):
    paths = [f"{series}{tail}" for tail in ("", "#deskew", "#0badcafe", "#0badcafe,deskew")]
    assert len({hash_input(type(series)(path)) for path in paths}) == 4
    assert len({hash_content(type(series)(path)) for path in paths}) == 1
    assert hash_input(series) == hash_content(series)


def test_what_is_not_there_or_empty_is_refused(tmp_path):
    (tmp_path / "empty.nii").write_bytes(b"")
    for name in ("absent.nii", "empty.nii"):
        with pytest.raises(VolumeReadError, match=name):
            hash_content(tmp_path / name)
