"""Which series of which folder, zip or DICOMDIR is meant, and how it may be repaired."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from medtranslate.errors import DicomError
from medtranslate.io.suffixes import scan_suffix

DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
FIX_FORMS = "drop-duplicates, interpolate-missing=N or deskew"

_SERIES_NAME = re.compile(r"[0-9a-f]{8}")
_INTERPOLATE = re.compile(r"interpolate-missing=([1-9][0-9]{0,3})")
_BIDS_MARKS = ("dataset_description.json", "participants.tsv")
_LOOKED_AT = 200
START_BYTES = 132
"""Where the signature of DICOM ends."""


@dataclass(frozen=True)
class Fixes:
    """Repairs that are asked for; none by default.

    Attributes:
        drop_duplicates: Leave out exact copies of a slice.
        interpolate_missing: Most missing slices that may be filled in, all gaps together.
        deskew: Undo a gantry tilt by moving slices within their planes.

    Example:
        >>> Fixes.parse(["deskew", "interpolate-missing=2"]).texts
        ('interpolate-missing=2', 'deskew')
    """

    drop_duplicates: bool = False
    interpolate_missing: int = 0
    deskew: bool = False

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Fixes:
        """Read what ``--fix`` was given.

        Raises:
            DicomError: If a text is not one of ``FIX_FORMS``.
        """
        fixes = cls()
        for text in texts:
            number = _INTERPOLATE.fullmatch(text)
            if number:
                fixes = replace(fixes, interpolate_missing=int(number[1]))
            elif text in ("drop-duplicates", "deskew"):
                fixes = replace(fixes, **{text.replace("-", "_"): True})
            else:
                raise DicomError(f"--fix {text}: no such repair, expected {FIX_FORMS}")
        return fixes

    @property
    def texts(self) -> tuple[str, ...]:
        """The inverse of :meth:`parse`."""
        return (
            *(["drop-duplicates"] if self.drop_duplicates else []),
            *([f"interpolate-missing={n}"] if (n := self.interpolate_missing) else []),
            *(["deskew"] if self.deskew else []),
        )

    def joined_with(self, other: Fixes) -> Fixes:
        """Both."""
        return Fixes.parse((*self.texts, *other.texts))


@dataclass(frozen=True)
class SeriesLocation:
    """Where a series is: ``PLACE``, or ``PLACE#SERIES,FIX,...`` as one path.

    Attributes:
        place: A folder, a zip, a DICOMDIR or a multi-frame file.
        series: Name of the series as ``inspect`` lists it; None if it is the only one.
        fixes: Repairs asked for.
    """

    place: Path
    series: str | None = None
    fixes: Fixes = Fixes()

    @classmethod
    def parse(cls, path: Path) -> SeriesLocation:
        """Take a path apart; one that exists as it stands is never taken apart.

        Raises:
            DicomError: If what stands behind ``#`` is neither a series name nor a repair.
        """
        head, separator, tail = str(path).rpartition("#")
        if not separator or os.path.lexists(path) or not Path(head).exists():
            return cls(path)
        items = [item.strip() for item in tail.split(",")]
        names = [item for item in items if _SERIES_NAME.fullmatch(item)]
        if len(names) > 1:
            raise DicomError(f"{path}: names {len(names)} series, expected one. Give one path each")
        fixes = Fixes.parse(item for item in items if item not in names)
        return cls(Path(head), names[0] if names else None, fixes)

    @property
    def path(self) -> Path:
        """The inverse of :meth:`parse`."""
        items = [*([self.series] if self.series else []), *self.fixes.texts]
        return Path(f"{self.place}#{','.join(items)}") if items else self.place


def with_fixes(path: Path, fixes: Fixes) -> Path:
    """The path of the same series with these repairs asked for; other scans stay as they are."""
    if fixes == Fixes() or not holds_dicom(path):
        return path
    location = SeriesLocation.parse(path)
    return replace(location, fixes=location.fixes.joined_with(fixes)).path


def holds_dicom(path: Path) -> bool:
    """Whether DICOM is to be looked for at a path; reads a few bytes at most.

    A folder counts if a file among its first 200 is DICOM by content and it is no BIDS dataset.
    """
    place = SeriesLocation.parse(path).place
    if place != path:
        return True
    if place.is_dir():
        return not _is_bids(place) and any(map(_is_dicom_file, _first_files(place)))
    if not place.is_file() or scan_suffix(place) is not None:
        return False
    name = place.name.lower()
    return name == "dicomdir" or name.endswith((".zip", *DICOM_SUFFIXES)) or _is_dicom_file(place)


def looks_like_dicom(start: bytes) -> bool:
    """Whether a file begins as DICOM, with its preamble or, as old files do, without."""
    if start[128:132] == b"DICM":
        return True
    group, element = (int.from_bytes(start[n : n + 2], "little") for n in (0, 2))
    return len(start) >= START_BYTES and group in (0x0002, 0x0008) and element < 0x0100


def _is_bids(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _BIDS_MARKS) or any(
        path.is_dir() for path in folder.glob("sub-*")
    )


def _first_files(folder: Path) -> Iterator[Path]:
    count = 0
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith("."):
                continue
            yield Path(place) / name
            count += 1
            if count >= _LOOKED_AT:
                return


def _is_dicom_file(path: Path) -> bool:
    if not path.is_file():  # opening a pipe would wait for ever
        return False
    try:
        with path.open("rb") as file:
            return looks_like_dicom(file.read(START_BYTES))
    except OSError:
        return False
