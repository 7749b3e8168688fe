"""A DICOMDIR is a list of files below its folder, and of nothing else."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.fileset import FileSet

from medtranslate.errors import DicomError
from medtranslate.io import read_volume
from medtranslate.io.dicom.dicomdir import list_dicomdir
from medtranslate.io.dicom.series import find_series


@pytest.fixture
def medium(write_series, tmp_path):
    """A folder as a CD has it."""

    def complete(datasets):
        for ds in datasets:
            ds.StudyDate, ds.StudyTime, ds.StudyID = "20200101", "101010", "1"
            ds.AccessionNumber, ds.SeriesNumber = "1", 1

    files = FileSet()
    for path in sorted(write_series(complete).iterdir()):
        files.add(path)
    files.write(tmp_path / "cd")
    with warnings.catch_warnings(action="ignore"):  # its temporary folder is left
        del files
        gc.collect()
    return tmp_path / "cd" / "DICOMDIR"


def test_a_dicomdir_gives_the_series_it_lists(medium, truth):
    np.testing.assert_array_equal(read_volume(medium).voxels, truth.voxels)
    np.testing.assert_array_equal(read_volume(medium.parent).voxels, truth.voxels)


def test_listed_files_that_are_absent_are_counted(medium):
    keys, absent = list_dicomdir(medium)
    assert (len(keys), absent) == (6, 0)
    (medium.parent / keys[0]).unlink()

    assert find_series(medium).num_absent == 1


@pytest.mark.parametrize("name", [["..", "secret"], ["/etc", "passwd"], ["A", ".."], ["A/B"]])
def test_a_dicomdir_that_leads_elsewhere_is_refused(medium, name):
    dataset = dcmread(medium)
    for record in dataset.DirectoryRecordSequence:
        if "ReferencedFileID" in record:
            record["ReferencedFileID"]._value = name
    dataset.save_as(medium)

    with pytest.raises(DicomError, match="lists a file outside its folder"):
        read_volume(medium)


def test_a_file_that_is_only_called_dicomdir_is_refused(write_series):
    folder = write_series()
    place = (folder / "IM1.dcm").rename(folder / "DICOMDIR")

    with pytest.raises(DicomError, match="is called DICOMDIR and is not one"):
        read_volume(place)
