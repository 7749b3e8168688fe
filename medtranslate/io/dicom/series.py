"""Find the series of a place by what its files say, not by what they are called."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import MediaStorageDirectoryStorage

from medtranslate.errors import DicomError
from medtranslate.io.dicom.dicomdir import open_place
from medtranslate.io.dicom.files import FileStore, short_name
from medtranslate.io.dicom.headers import (
    UNKNOWN_KIND,
    UnreadableHeaderError,
    class_name,
    read_dataset,
    text,
    whole,
)
from medtranslate.io.dicom.location import DICOM_SUFFIXES, START_BYTES
from medtranslate.io.dicom.slices import MODALITIES, SLICE_TAGS, modality_of


@dataclass(frozen=True, eq=False)
class SeriesFiles:
    """The files of one series.

    Attributes:
        name: Eight hexadecimal digits, made from its UID; the same wherever the series lies.
        patient: Number of the person in this place, from 1.
        study: Number of the study in this place, from 1.
        modality: ``CT``, ``MR`` or ``PT``; None if it is of a kind that is not read.
        kind: Kind of its objects in the standard's words.
        headers: Attributes of each file by its key, in the order of the keys.
    """

    name: str
    patient: int
    study: int
    modality: str | None
    kind: str
    headers: dict[str, Dataset]


@dataclass(frozen=True)
class Contents:
    """What a place holds.

    Attributes:
        series: Everything with pixels, in the order found.
        others: Kinds of objects without pixels (structures, reports), with their numbers.
        unreadable: Files that are DICOM by their beginning or name and cannot be read, or that
            hold nothing, by the last part of their names.
        num_foreign: Files that are not DICOM.
        num_absent: Files that a DICOMDIR lists, or a link names, and that are not there.
    """

    series: tuple[SeriesFiles, ...]
    others: dict[str, int]
    unreadable: tuple[str, ...]
    num_foreign: int
    num_absent: int = 0


def find_series(place: Path) -> Contents:
    """Read the header of every file of a folder, zip or DICOMDIR, and sort them into series.

    Raises:
        DicomError: If the place cannot be read.
    """
    with open_place(place) as (store, num_absent):
        return _sort(store, num_absent=num_absent)


def choose_series(path: Path, contents: Contents, name: str | None) -> SeriesFiles:
    """The series of that name, or the only one of CT, MR or PET.

    Raises:
        DicomError: If there is none, or several and no name.
    """
    _refuse_doubtful(path, contents)
    if name is not None:
        for series in contents.series:
            if series.name == name:
                return series
        raise DicomError(f"{path}: holds no series of that name.{_list(contents)}")
    readable = [series for series in contents.series if series.modality is not None]
    found = readable or contents.series
    if len(found) == 1:
        return found[0]
    if not found:
        raise DicomError(f"{path}: {_explain_nothing(contents)}. Give a series of CT, MR or PET")
    raise DicomError(
        f"{path}: holds {len(found)} series, expected one. Name one of them behind the path, as in"
        f" {path.name}#{found[0].name}; 'medtranslate inspect' shows them.{_list(contents)}"
    )


def _refuse_doubtful(path: Path, contents: Contents) -> None:
    """A file that is damaged or absent may have been a slice at either end of any series."""
    if contents.series and contents.unreadable:
        names = ", ".join(contents.unreadable[:5])
        raise DicomError(
            f"{path}: damaged: {len(contents.unreadable)} files of DICOM cannot be read"
            f" ({names}); they may belong to the series. Fetch them again, or take them away"
        )
    if contents.series and contents.num_absent:
        raise DicomError(
            f"{path}: names {contents.num_absent} files that are not there; they may belong to the"
            " series. Fetch what the links name, copy the whole medium again, or give its folder"
        )


def _list(contents: Contents) -> str:
    rows = [
        f"{series.name}: {series.modality or series.kind}, {len(series.headers)} files"
        for series in contents.series
    ]
    return "".join(f"\n  {row}" for row in rows[:20])


def _explain_nothing(contents: Contents) -> str:
    held = [f"{count} of the kind {kind}" for kind, count in contents.others.items()]
    if contents.unreadable:
        held.append(f"{len(contents.unreadable)} damaged DICOM files")
    if contents.num_foreign:
        held.append(f"{contents.num_foreign} files that are not DICOM")
    if contents.num_absent:
        held.append(f"{contents.num_absent} listed files that are not there")
    return f"no scan: it holds {', '.join(held) or 'no file'}"


@dataclass
class _Numbers:
    """Numbers people or studies in the order they are met, so that nothing of them is shown."""

    seen: dict[str, int] = field(default_factory=dict)

    def __call__(self, identity: str) -> int:
        return self.seen.setdefault(identity, len(self.seen) + 1)


def _sort(store: FileStore, *, num_absent: int) -> Contents:
    groups: dict[tuple[str, str, str], dict[str, Dataset]] = {}
    others: Counter[str] = Counter()
    unreadable: list[str] = []
    num_foreign = 0
    for key in store.keys:
        try:
            with store.open(key) as file:
                header = read_dataset(file, tags=SLICE_TAGS)
        except UnreadableHeaderError:
            unreadable.append(short_name(key))
            continue
        if header is None and _may_have_been_slice(store, key):
            unreadable.append(short_name(key))
        elif header is None:
            num_foreign += 1
        elif _is_directory(header):
            continue
        elif _is_damaged(header):
            unreadable.append(short_name(key))
        elif not whole(header, "Rows"):
            others[class_name(header)] += 1
        else:
            groups.setdefault(_identify(header), {})[key] = header
    patients, studies = _Numbers(), _Numbers()
    series = tuple(
        _describe(patient, study, headers, patients, studies)
        for (patient, study, _), headers in groups.items()
    )
    return Contents(series, dict(others), tuple(unreadable), num_foreign, num_absent)


def _may_have_been_slice(store: FileStore, key: str) -> bool:
    """Whether what is not DICOM is called so, or begins with nothing: a copy that stopped early."""
    if short_name(key).lower().endswith(DICOM_SUFFIXES):
        return True
    with store.open(key) as file:
        return not file.read(START_BYTES).strip(b"\0")


def _is_damaged(header: FileDataset) -> bool:
    """Whether a file does not say what it is, says two things, or is a slice without a size."""
    kind, kind_by_head = modality_of(header), text(header.file_meta, "MediaStorageSOPClassUID")
    if kind is None:
        return class_name(header) == UNKNOWN_KIND or kind_by_head in MODALITIES
    return not whole(header, "Rows")


def _is_directory(header: FileDataset) -> bool:
    return text(header.file_meta, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage


def _identify(header: Dataset) -> tuple[str, str, str]:
    """Person, study and series with the kind of object, which a series has but one of."""
    patient = "\n".join(text(header, k) for k in ("PatientID", "IssuerOfPatientID", "PatientName"))
    series = text(header, "SeriesInstanceUID")
    kind = "" if modality_of(header) else text(header, "SOPClassUID")
    return patient, text(header, "StudyInstanceUID"), f"{series}{kind}"


def _describe(
    patient: str,
    study: str,
    headers: dict[str, Dataset],
    patients: Callable[[str], int],
    studies: Callable[[str], int],
) -> SeriesFiles:
    first = next(iter(headers.values()))
    identity = f"{study}\n{text(first, 'SeriesInstanceUID')}"
    return SeriesFiles(
        name=hashlib.sha256(identity.encode()).hexdigest()[:8],
        patient=patients(patient),
        study=studies(f"{patient}\n{study}"),
        modality=modality_of(first),
        kind=class_name(first),
        headers=headers,
    )
