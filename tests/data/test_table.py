"""A CSV table says the same as a BIDS folder, and its mistakes are named by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medtranslate.data.table import index_table, read_table
from medtranslate.errors import DatasetError, DicomError

from ..io.dicom.conftest import truth, write_series  # noqa: F401


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files for tables to name; nothing in a table is opened while it is indexed."""
    for name in ("a1.nii", "a2.nii", "b1.nii", "b2.nii", "m.nii"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def write_table(folder: Path, *lines: str) -> Path:
    path = folder / "people.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_table_gives_scans_masks_days_and_people(folder: Path) -> None:
    path = write_table(
        folder,
        "subject,session,contrast,path,mask,days,split,sex",
        "sub-a,ses-1,T1w,a1.nii,m.nii,0,train,F",
        "a,1,T1w+ce-gadolinium,a2.nii,m.nii,0,train,F",
        "b,,ct,b1.nii,,,test,M",
    )

    index = index_table(path, name="people")

    found = [(s.subject, s.session, s.contrast, s.path.name, s.days, s.kind) for s in index.scans]
    assert found == [
        ("people/a", "1", "T1w", "a1.nii", 0.0, "image"),
        ("people/a", "1", "T1w+ce-gadolinium", "a2.nii", 0.0, "image"),
        ("people/a", "1", "mask", "m.nii", 0.0, "mask"),
        ("people/b", None, "CT", "b1.nii", None, "image"),
    ]
    assert index.participants["people/a"] == {"split": "train", "sex": "F"}
    assert index.participants["people/b"] == {"split": "test", "sex": "M"}


def test_paths_start_at_the_folder_of_the_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write_table(folder, "subject,contrast,path", "a,T1w,a1.nii", f"b,T1w,{folder}/b1.nii")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    assert [scan.path for scan in index_table(path, name="x").scans] == [
        folder / "a1.nii",
        folder / "b1.nii",
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separator_byte_order_mark_and_capitals_do_not_matter(folder: Path, separator: str) -> None:
    path = folder / "people.csv"
    text = "\r\n".join(["Subject,Contrast,Path", "a,T1w,a1.nii"]).replace(",", separator)
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())

    assert [scan.subject for scan in index_table(path, name="x").scans] == ["x/a"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,T1w,none.nii,,", "people.csv:3: no file none.nii"),
        ("a,T1,a2.nii,,", "people.csv:3: 'T1' is not a contrast.*did you mean 'T1w'"),
        ("a,,a2.nii,,", "people.csv:3: contrast is empty"),
        ("a,T2w,a1.nii,,", "people.csv:3: a1.nii stands in line 2 too"),
        ("c,T1w,a1.nii,,", "people.csv:3: a1.nii stands in line 2 too"),
        ("a,T2w,a2.nii,soon,", "people.csv:3: days is 'soon'"),
        ("a,T2w,a2.nii,,test", "people.csv:3: x/a is in split 'test' here and in 'train' above"),
        ("b,T2w,a2.nii,,valid", "people.csv:3: split is 'valid', expected train, val or test"),
        ("b,T2w,a2.nii,,train,9", "people.csv:3: has more values than the header"),
    ],
)
def test_a_bad_row_is_named_by_its_line(folder: Path, row: str, message: str) -> None:
    path = write_table(folder, "subject,contrast,path,days,split", "a,T1w,a1.nii,0,train", row)

    with pytest.raises(DatasetError, match=message):
        index_table(path, name="x")


def test_every_bad_row_is_told_at_once(folder: Path) -> None:
    path = write_table(folder, "subject,contrast,path", "a,T1w,no1.nii", "a,T9w,a1.nii", ",T2w,b")

    with pytest.raises(DatasetError) as caught:
        index_table(path, name="x")

    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == [
        f"{path}:{line}:" for line in (2, 3, 4)
    ]


def test_a_missing_column_is_named(folder: Path) -> None:
    with pytest.raises(DatasetError, match="column contrast is missing; expected the columns"):
        index_table(write_table(folder, "subject,path", "a,a1.nii"), name="x")


def test_a_table_without_rows_is_refused(folder: Path) -> None:
    with pytest.raises(DatasetError, match="holds no rows"):
        index_table(write_table(folder, "subject,contrast,path"), name="x")


def test_what_is_not_text_is_refused(folder: Path) -> None:
    path = folder / "people.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")

    with pytest.raises(DatasetError, match="cannot be read as a UTF-8 table"):
        read_table(path)


def test_quoted_separators_and_line_breaks_keep_the_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text('a,b\n"x,\ny",n/a\nz,2\n')

    assert read_table(path) == [(3, {"a": "x,\ny", "b": ""}), (4, {"a": "z", "b": "2"})]


def test_a_dicom_series_is_named_by_its_folder_with_series_and_repairs(
    folder: Path, write_series: Callable[..., Path]
) -> None:
    series = write_series(folder="ct")
    path = write_table(folder, "subject,contrast,path", "a,CT,ct#deskew", "b,CT,ct", "c,CT,ct#mend")

    with pytest.raises(DicomError, match="mend: no such repair"):
        index_table(path, name="people")
    path = write_table(folder, "subject,contrast,path", "a,CT,ct#deskew", "b,CT,ct")
    index = index_table(path, name="people")

    assert [scan.path for scan in index.scans] == [series.with_name("ct#deskew"), series]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("subject,contrast,path\n" + "a" * 200_000 + ",T1w,a1.nii\n", ": is not a table .field"),
        (",".join("abcd" * 5_000) + "\n" + "1\n" * 300, "holds more than 5,000,000 cells"),
    ],
)
def test_a_table_that_would_fill_the_memory_is_refused(
    folder: Path, text: str, message: str
) -> None:
    path = folder / "people.csv"
    path.write_text(text)

    with pytest.raises(DatasetError, match=message):
        read_table(path)
