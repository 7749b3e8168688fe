"""Which path means which series, and with which repairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from medtranslate.errors import DicomError
from medtranslate.io.dicom.location import Fixes, SeriesLocation, holds_dicom, with_fixes


def test_a_path_names_series_and_repairs(tmp_path):
    path = Path(f"{tmp_path}#0123abcd,drop-duplicates,interpolate-missing=3")

    location = SeriesLocation.parse(path)

    assert location.place == tmp_path
    assert location.series == "0123abcd"
    assert location.fixes == Fixes(drop_duplicates=True, interpolate_missing=3)
    assert location.path == path


def test_a_path_that_exists_as_it_stands_is_not_taken_apart(tmp_path):
    path = tmp_path / "a#deskew"
    path.mkdir()

    assert SeriesLocation.parse(path) == SeriesLocation(path)


@pytest.mark.parametrize("text", ["mend", "interpolate-missing", "interpolate-missing=0", "Deskew"])
def test_an_unknown_repair_is_refused_with_those_that_exist(tmp_path, text):
    with pytest.raises(DicomError, match="expected drop-duplicates"):
        SeriesLocation.parse(Path(f"{tmp_path}#{text}"))


def test_dicom_is_recognised_by_content(write_series, write_nifti, tmp_path):
    folder = write_series()
    (folder / "IM1.dcm").rename(folder / "no_suffix")
    empty = tmp_path / "empty"
    empty.mkdir()
    scan = write_nifti(__import__("numpy").zeros((2, 3, 4), "int16"))

    assert holds_dicom(folder)
    assert holds_dicom(folder / "no_suffix")
    assert not holds_dicom(empty)
    assert not holds_dicom(scan)
    assert not holds_dicom(tmp_path / "absent.dcm")


def test_a_bids_dataset_is_no_series_even_with_dicom_in_it(write_series, tmp_path):
    write_series(folder="bids/sourcedata/ct")
    assert holds_dicom(tmp_path / "bids")
    (tmp_path / "bids" / "dataset_description.json").write_text("{}")

    assert not holds_dicom(tmp_path / "bids")


def test_repairs_are_added_to_dicom_and_to_nothing_else(write_series, write_nifti):
    folder = write_series()
    fixes = Fixes(deskew=True)

    assert with_fixes(folder, fixes) == Path(f"{folder}#deskew")
    once = with_fixes(folder, Fixes(interpolate_missing=1))
    assert with_fixes(once, fixes) == Path(f"{folder}#interpolate-missing=1,deskew")
    scan = write_nifti(__import__("numpy").zeros((2, 3, 4), "int16"))
    assert with_fixes(scan, fixes) == scan
