"""Bytes from folders and zips: bounded, and never from outside."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest

from medtranslate.errors import DicomError
from medtranslate.io import read_volume
from medtranslate.io.dicom.files import open_store, short_name


def zip_folder(folder, path, *, extra=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"doe/ct/{file.name}")
        for name, data in extra:
            archive.writestr(name, data)
    return path


def test_a_zip_is_read_as_its_folder_is(write_series, truth, tmp_path):
    path = zip_folder(write_series(), tmp_path / "study.zip", extra=[("notes.txt", "hello")])

    np.testing.assert_array_equal(read_volume(path).voxels, truth.voxels)


@pytest.mark.parametrize("name", ["../out.dcm", "/etc/out.dcm", "a/../../out.dcm", "C:\\out.dcm"])
def test_a_zip_that_names_files_outside_itself_is_refused(write_series, tmp_path, name):
    path = zip_folder(write_series(), tmp_path / "study.zip", extra=[(name, b"x")])

    with pytest.raises(DicomError, match="names a file outside itself"):
        read_volume(path)


def test_a_zip_bomb_is_refused_unread(write_series, tmp_path):
    bomb = ("big.dcm", bytes(70 << 20))
    path = zip_folder(write_series(), tmp_path / "study.zip", extra=[bomb])

    with pytest.raises(DicomError, match="to 1, as bombs are"):
        read_volume(path)


def test_a_damaged_zip_is_refused(write_series, tmp_path):
    path = zip_folder(write_series(), tmp_path / "study.zip")
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DicomError, match="is not a zip, or is cut off"):
        read_volume(path)
    data[300:330] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(DicomError, match="damaged"):
        read_volume(path)


def test_a_link_in_a_zip_is_not_followed(write_series, tmp_path):
    link = zipfile.ZipInfo("link.dcm")
    link.external_attr = 0o120777 << 16
    path = zip_folder(write_series(), tmp_path / "study.zip", extra=[(link, "/etc/passwd")])

    with open_store(path) as store:
        assert len(store.keys) == 6
        assert "link.dcm" not in store.keys


def test_hidden_files_pipes_and_folders_are_passed_over(write_series, tmp_path):
    folder = write_series()
    (folder / ".hidden.dcm").write_bytes(b"x")
    os.mkfifo(folder / "pipe.dcm")

    with open_store(folder) as store:
        assert store.keys == tuple(f"IM{n}.dcm" for n in range(1, 7))


def test_only_the_last_part_of_a_name_is_shown():
    assert short_name("doe_jane/ct\\IM1.dcm") == "IM1.dcm"
