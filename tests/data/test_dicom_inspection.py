"""What `inspect` says of DICOM: everything but whose it is."""

from __future__ import annotations

import json

import pytest

from medtranslate.data.dicom_inspection import inspect_dicom
from medtranslate.errors import DicomError

from ..io.dicom.conftest import save_all, slice_headers, truth, write_series  # noqa: F401

SECRETS = ("SECRET", "Doe", "Jane", "1950", "1.2.826", "ROOM-9")


@pytest.fixture
def place(write_series, truth):
    """A sound series, one of another person that lacks a slice, a cut one, and a stray file."""

    def cut(datasets):
        datasets[2].PixelData = datasets[2].PixelData[:-2]

    folder = write_series(modality="MR", folder="DOE_JANE")
    other = slice_headers(truth, "PT", series=2)
    for ds in other:
        ds.PatientID, ds.SeriesDescription, ds.StudyInstanceUID = "SECRET-2", "ROOM-9", "1.2.3"
    save_all(folder / "Jane", other[:2] + other[3:])
    third = slice_headers(truth, "CT", series=3)
    cut(third)
    save_all(folder / "cut", third)
    (folder / "notes.txt").write_text("Jane Doe")
    return folder


def test_series_are_listed_with_pseudonyms_grids_and_problems(place, truth):
    found = inspect_dicom(place)

    rows = {row.kind: row for row in found.series}
    assert rows["MR"].grid.matches(truth.geometry)
    assert rows["MR"].problems == ()
    assert rows["PT"].problems == ("missing-slices",)
    assert rows["CT"].problems == ("damaged",)
    assert rows["MR"].patient == rows["CT"].patient != rows["PT"].patient
    assert rows["MR"].study == rows["CT"].study != rows["PT"].study
    assert found.verdict == "Usable without 2 of its 3 series."
    texts = [finding.what for finding in found.findings]
    assert any("1 between IM2.dcm" in text for text in texts)
    assert any("IM3.dcm: it is cut off: 142 of 144 bytes" in text for text in texts)


def test_nothing_says_whose_it_is(place):
    told = json.dumps({**inspect_dicom(place).to_json(), "name": ""})

    assert [secret for secret in SECRETS if secret in told] == []


def test_one_series_is_inspected_by_name_and_with_repairs(place):
    name = next(row.name for row in inspect_dicom(place).series if row.kind == "PT")

    found = inspect_dicom(place.with_name(f"{place.name}#{name},interpolate-missing=1"))

    assert [row.problems for row in found.series] == [()]
    assert any("interpolated linearly" in finding.what for finding in found.findings)
    with pytest.raises(DicomError, match="no series of that name"):
        inspect_dicom(place.with_name(f"{place.name}#00000000"))
