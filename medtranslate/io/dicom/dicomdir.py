"""The files that a DICOMDIR lists, as far as they lie below it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from pydicom.uid import MediaStorageDirectoryStorage

from medtranslate.errors import DicomError
from medtranslate.io.dicom.files import MAX_FILES, FileStore, explain_zip, open_store
from medtranslate.io.dicom.headers import (
    PARSE_FAILURES,
    UnreadableHeaderError,
    quiet,
    read_dataset,
)

_COMPONENT = re.compile(r"[A-Za-z0-9_ .-]{1,64}")


@contextlib.contextmanager
def open_place(place: Path) -> Iterator[tuple[FileStore, int]]:
    """The files of a folder, zip, DICOMDIR or file, and how many are named but absent.

    Raises:
        DicomError: As :func:`list_dicomdir` and :func:`open_store`.
    """
    try:
        if place.name.lower() == "dicomdir" and place.is_file():
            keys, num_absent = list_dicomdir(place)
            yield FileStore(keys, lambda key: (place.parent / key).open("rb")), num_absent
        else:
            with open_store(place) as store, explain_zip(place):
                yield store, store.num_absent
    except OSError as error:
        reason = error.strerror or "reason unknown"
        raise DicomError(f"{place}: cannot be read ({reason}). Check its permissions") from None


def list_dicomdir(place: Path) -> tuple[tuple[str, ...], int]:
    """Names of the files listed, relative to the DICOMDIR's folder, and how many are not there.

    Raises:
        DicomError: If it is not a DICOMDIR, or lists files outside its folder.
    """
    try:
        with place.open("rb") as file:
            dataset = read_dataset(file)
        if dataset is None:
            raise UnreadableHeaderError
        with quiet():
            kind = dataset.file_meta.get("MediaStorageSOPClassUID")
            records = dataset.get("DirectoryRecordSequence") or []
            listed = [record.get("ReferencedFileID") for record in records]
    except (UnreadableHeaderError, *PARSE_FAILURES):
        raise DicomError(f"{place}: is not a readable DICOMDIR. Give its folder instead") from None
    if kind != MediaStorageDirectoryStorage:
        raise DicomError(f"{place}: is called DICOMDIR and is not one. Give its folder instead")
    names = [[one] if isinstance(one, str) else list(one) for one in listed if one]
    keys = sorted({"/".join(map(str, name)) for name in names if _check_name(place, name)})
    if len(keys) > MAX_FILES:
        raise DicomError(f"{place}: lists {len(keys):,} files, at most {MAX_FILES:,} are read")
    root = place.parent.resolve()
    there = [
        key
        for key in keys
        if (place.parent / key).is_file() and root in (place.parent / key).resolve().parents
    ]
    return tuple(there), len(keys) - len(there)


def _check_name(place: Path, components: list[str]) -> bool:
    """True for a name below the folder.

    Raises:
        DicomError: For one that leads elsewhere.
    """
    for component in components:
        if not _COMPONENT.fullmatch(str(component)) or set(str(component)) == {"."}:
            raise DicomError(
                f"{place}: lists a file outside its folder, as no honest DICOMDIR does. Give the"
                " folder of the series instead"
            )
    return True
