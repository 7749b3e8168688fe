"""Series are found by what files say."""

from __future__ import annotations

import shutil

import pytest

from medtranslate.errors import DicomError
from medtranslate.io import read_volume
from medtranslate.io.dicom.series import find_series

from .conftest import save_all, slice_headers


def test_series_scattered_over_folders_and_mixed_up_are_sorted_by_content(
    write_series, tmp_path, truth
):
    place = write_series(modality="MR", folder="mixed")
    other = slice_headers(truth, "PT", series=2)
    for ds in other:
        ds.PatientID = "OTHER"
    save_all(place, other, prefix="AA")
    (place / "deep").mkdir()
    shutil.move(place / "IM3.dcm", place / "deep" / "x")
    (place / "notes.txt").write_text("hello")
    (place / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 40)

    contents = find_series(place)

    found = [(s.modality, s.patient, s.study, len(s.headers)) for s in contents.series]
    assert found == [("PT", 1, 1, 6), ("MR", 2, 2, 6)]
    assert contents.num_foreign == 1
    assert contents.unreadable == ("broken.dcm",)


def test_a_series_has_the_same_name_wherever_it_lies(write_series):
    first = find_series(write_series(folder="here")).series[0]
    second = find_series(write_series(folder="there")).series[0]
    third = find_series(write_series(folder="else", series=3)).series[0]

    assert first.name == second.name
    assert first.name != third.name


def test_a_place_without_a_scan_says_what_it_holds(write_series):
    def strip(datasets):
        for ds in datasets:
            del ds.Rows, ds.PixelData
            ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"

    path = write_series(strip)

    with pytest.raises(DicomError, match="no scan: it holds 6 of the kind RT Structure Set"):
        read_volume(path)


@pytest.mark.parametrize("length", [*range(140, 1020, 80), -1])
def test_a_slice_cut_off_anywhere_refuses_the_series(write_series, length):
    folder = write_series()
    path = folder / "IM1.dcm"
    data = path.read_bytes()
    assert len(data) - length > 0
    path.write_bytes(data[:length])

    with pytest.raises(DicomError, match=r"IM1\.dcm|damaged"):
        read_volume(folder)
