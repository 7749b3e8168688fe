"""Datasets written as a CSV table, and the TSV tables of a BIDS folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medtranslate.data.scans import (
    PARTS,
    DatasetIndex,
    Scan,
    Selector,
    contrast_of,
    kind_of,
    sort_scans,
)
from medtranslate.errors import DatasetError
from medtranslate.io.dicom.location import holds_dicom
from medtranslate.io.documents import read_text

REQUIRED_COLUMNS = ("subject", "contrast", "path")
SCAN_COLUMNS = (*REQUIRED_COLUMNS, "session", "mask", "days")
"""Columns that describe a scan; any other column, ``split`` among them, describes the person, and
may differ from visit to visit."""

_MISSING = ("", "n/a")
_MAX_ERRORS = 20
_MOST_CELLS = 5_000_000


def read_table(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of each row of a CSV or TSV file; ``n/a`` becomes ``""``.

    In a CSV file, comma, semicolon and tab are told apart by the header line.

    Raises:
        DatasetError: If the file cannot be read as text or holds too much, or a row is longer
            than the header.
    """
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read as a UTF-8 table ({error})") from error
    header = text.partition("\n")[0]
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return list(_read_rows(path, reader))
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num}: is not a table ({error})") from error


def _read_rows(path: Path, reader: csv.DictReader[str]) -> Iterator[tuple[int, dict[str, str]]]:
    reader.fieldnames = names = [name.strip() for name in reader.fieldnames or ()]
    for number, row in enumerate(reader, 1):
        if None in row:
            raise DatasetError(
                f"{path}:{reader.line_num}: has more values than the header has columns; "
                "quote values that hold a separator"
            )
        if number * len(names) > _MOST_CELLS:
            raise DatasetError(f"{path}: holds more than {_MOST_CELLS:,} cells; divide it")
        cells = {key: (value or "").strip() for key, value in row.items()}
        cells = {key: "" if value in _MISSING else value for key, value in cells.items()}
        yield reader.line_num, cells


@dataclass(frozen=True)
class _Row:
    """One row of the table, read."""

    line: int
    subject: str
    session: str | None
    days: float | None
    selector: Selector


@dataclass
class _TableReader:
    """Collects scans, participants and every error of one table."""

    path: Path
    name: str
    scans: list[Scan] = field(default_factory=list)
    participants: dict[str, dict[str, str]] = field(default_factory=dict)
    sessions: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    images: dict[Path, int] = field(default_factory=dict)
    masks: dict[tuple[str, str | None, Path], int] = field(default_factory=dict)

    def add(self, line: int, cells: Mapping[str, str]) -> None:
        """Take one row; what is wrong with it joins ``errors``."""
        try:
            row = self._read_row(line, cells)
            self._add_image(row, cells["path"])
            if cells.get("mask"):
                self._add_mask(row, cells["mask"])
            self._add_participant(row, cells)
        except DatasetError as error:
            self.errors.append(f"{self.path}:{line}: {error}")

    def _read_row(self, line: int, cells: Mapping[str, str]) -> _Row:
        empty = [column for column in REQUIRED_COLUMNS if not cells[column]]
        if empty:
            raise DatasetError(f"{', '.join(empty)} is empty; fill it in")
        try:
            days = float(cells["days"]) if cells.get("days") else None
        except ValueError:
            raise DatasetError(f"days is '{cells['days']}', expected a number of days") from None
        return _Row(
            line=line,
            subject=f"{self.name}/{cells['subject'].removeprefix('sub-')}",
            session=cells.get("session", "").removeprefix("ses-") or None,
            days=days,
            selector=Selector.parse(cells["contrast"]),
        )

    def _add_image(self, row: _Row, text: str) -> None:
        path = self._find(text)
        first = self.images.setdefault(path.resolve(), row.line)
        if first != row.line:
            raise DatasetError(f"{text} stands in line {first} too; keep one of them")
        self.scans.append(self._scan(row, path, row.selector))

    def _add_mask(self, row: _Row, text: str) -> None:
        path = self._find(text)
        first = self.masks.setdefault((row.subject, row.session, path), row.line)
        if first == row.line:
            self.scans.append(self._scan(row, path, Selector("mask")))

    def _find(self, text: str) -> Path:
        path = self.path.parent / text
        if not (path.is_file() or holds_dicom(path)):
            raise DatasetError(
                f"no file {text}; relative paths start at the folder of the table "
                f"({self.path.parent})"
            )
        return path

    def _scan(self, row: _Row, path: Path, selector: Selector) -> Scan:
        entities = dict(selector.entities)
        return Scan(
            dataset=self.name,
            subject=row.subject,
            session=row.session,
            contrast=contrast_of(selector.suffix, entities),
            suffix=selector.suffix,
            entities=entities,
            path=path,
            days=row.days,
            kind=kind_of(selector.suffix),
        )

    def _add_participant(self, row: _Row, cells: Mapping[str, str]) -> None:
        person = self.participants.setdefault(row.subject, {})
        split = cells.get("split", "")
        if split and split not in PARTS:
            raise DatasetError(f"split is '{split}', expected train, val or test")
        if split and person.get("split", split) != split:
            raise DatasetError(
                f"{row.subject} is in split '{split}' here and in '{person['split']}' above; "
                "a person belongs to one split with all visits and contrasts"
            )
        visit = self.sessions.setdefault((row.subject, row.session or ""), {})
        for column, value in cells.items():
            if column not in SCAN_COLUMNS and value:
                person.setdefault(column, value)
                visit.setdefault(column, value)


def index_table(path: Path, *, name: str) -> DatasetIndex:
    """Index a CSV table ``subject,session,contrast,path[,mask,days,split,...]``.

    Paths are relative to the folder of the table, or absolute; a DICOM series is given by its
    folder. A contrast is a selector, so that ``T1w+run-2`` tells two scans of one visit apart.
    Other columns describe the person; the first value given for a person counts, and the first
    given for a visit stands for that visit.

    Raises:
        DatasetError: Every bad row at once, with its line.
    """
    rows = [
        (line, {column.lower(): value for column, value in cells.items()})
        for line, cells in read_table(path)
    ]
    expected = "expected the columns subject,session,contrast,path[,mask,days,split,...]"
    if not rows:
        raise DatasetError(f"{path}: holds no rows; {expected}")
    absent = [column for column in REQUIRED_COLUMNS if column not in rows[0][1]]
    if absent:
        raise DatasetError(f"{path}:1: column {', '.join(absent)} is missing; {expected}")
    reader = _TableReader(path, name)
    for line, cells in rows:
        reader.add(line, cells)
    if reader.errors:
        more = len(reader.errors) - _MAX_ERRORS
        listed = reader.errors[:_MAX_ERRORS] + ([f"... and {more} more"] if more > 0 else [])
        raise DatasetError("\n".join(listed))
    return DatasetIndex(
        name=name,
        root=path,
        scans=sort_scans(reader.scans),
        participants=reader.participants,
        sessions=reader.sessions,
    )
