"""The files of a folder, a zip or a DICOMDIR as bytes; names in them never become paths unasked."""

from __future__ import annotations

import contextlib
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from medtranslate.errors import DicomError
from medtranslate.io.dicom.bombs import most_unpacked

MAX_FILES = 100_000
"""Most files looked at in one place."""

_MAX_UNPACKED = 16 << 30
_DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)


@dataclass(frozen=True)
class FileStore:
    """Files that can be opened by key.

    Attributes:
        keys: Names relative to the place, sorted; their last part may be shown.
        open: Opens one of them for reading; it can be sought.
        num_absent: Links to files that are not there, or to what is no file.
    """

    keys: tuple[str, ...]
    open: Callable[[str], IO[bytes]]
    num_absent: int = 0


def short_name(key: str) -> str:
    """What is shown of a key: its last part, as folders are often called after people."""
    return re.split(r"[/\\]", key)[-1]


@contextlib.contextmanager
def open_store(place: Path) -> Iterator[FileStore]:
    """The files of a folder, a zip, or of a single file, while the block lasts.

    Raises:
        DicomError: If the place cannot be read, holds too much, or is a zip that is damaged, may
            be a bomb, or names files outside itself.
    """
    if place.is_dir():
        keys, num_absent = _list_folder(place)
        yield FileStore(keys, lambda key: (place / key).open("rb"), num_absent)
    elif zipfile.is_zipfile(place):
        with _open_zip(place) as archive:
            members = {member.filename: member for member in _check_members(place, archive)}
            yield FileStore(tuple(sorted(members)), lambda key: archive.open(members[key]))
    elif place.suffix.lower() == ".zip":
        raise DicomError(f"{place}: is not a zip, or is cut off. Fetch it again")
    else:
        yield FileStore((place.name,), lambda _: place.open("rb"))


@contextlib.contextmanager
def explain_zip(place: Path) -> Iterator[None]:
    """Tell damage found while unpacking as one error that names the place."""
    try:
        yield
    except _DAMAGED_ZIP as error:
        if not isinstance(error, zipfile.BadZipFile | zlib.error | EOFError):
            raise
        raise DicomError(f"{place}: packed data is damaged. Fetch the zip again") from None


def _list_folder(folder: Path) -> tuple[tuple[str, ...], int]:
    """Regular files below a folder, and how many links lead to none."""
    keys: list[str] = []
    num_absent = 0
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place) / name
            if name.startswith("."):
                continue
            if path.is_file():
                keys.append(str(path.relative_to(folder)))
            else:
                num_absent += path.is_symlink()
        if len(keys) > MAX_FILES:
            raise DicomError(
                f"{folder}: holds more than {MAX_FILES:,} files. Give the folder of one study"
            )
    return tuple(keys), num_absent


def _open_zip(place: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(place)
    except (*_DAMAGED_ZIP, OSError, ValueError):
        raise DicomError(f"{place}: the zip is damaged. Fetch it again") from None


def _check_members(place: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Members that are files, after a look at what the archive claims."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MAX_FILES:
        raise DicomError(f"{place}: holds {len(members):,} files, at most {MAX_FILES:,} are read")
    _check_claims(place, members)
    for member in members:
        parts = re.split(r"[/\\]", member.filename)
        if ".." in parts or parts[0] == "" or ":" in parts[0] or "\0" in member.filename:
            raise DicomError(
                f"{place}: names a file outside itself, as no honest zip does. It was not read"
            )
        if member.flag_bits & 1:
            raise DicomError(f"{place}: is encrypted. Unpack it with its password first")
    links = {m.filename for m in members if (m.external_attr >> 16) & 0o170000 == 0o120000}
    hidden = {m.filename for m in members if short_name(m.filename).startswith(".")}
    return [member for member in members if member.filename not in links | hidden]


def _check_claims(place: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse what would unpack to too much: one member alone, or all that share a few bytes."""
    unpacked = sum(member.file_size for member in members)
    if unpacked > _MAX_UNPACKED:
        raise DicomError(
            f"{place}: would unpack to more than {_MAX_UNPACKED >> 30} GB. Zip one study at a time"
        )
    claims = [(unpacked, place.stat().st_size)]
    claims += [(member.file_size, member.compress_size) for member in members]
    for size, packed in claims:
        if size > most_unpacked(packed):
            raise DicomError(
                f"{place}: is packed {size // max(packed, 1)} to 1, as bombs are. It was not read;"
                " zip the series again"
            )
