"""Read DICOM headers without a word of what stands in them reaching a log, warning or message."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
from pydicom import config, dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from medtranslate.io.dicom.bombs import most_unpacked
from medtranslate.io.dicom.location import looks_like_dicom

PARSE_FAILURES = (
    BytesLengthException,
    InvalidDicomError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom and its decoders raise on damaged bytes; their texts quote values: show none."""

UNKNOWN_KIND = "an object of unknown kind"
"""What :func:`class_name` calls a kind that the standard does not have."""

_META_LENGTH_AT = 140
_META_START = 144
_LARGEST_INFLATED = 1 << 30
_CHUNK_BYTES = 1 << 20


class UnreadableHeaderError(Exception):
    """A file begins as DICOM and cannot be read as such; says nothing of its content."""


class _Silence:
    """pydicom's silence, shared by threads: warnings are one list for the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._undo = contextlib.ExitStack()

    def enter(self) -> None:
        """The first one in silences pydicom."""
        with self._lock:
            self._depth += 1
            if self._depth > 1:
                return
            logger = logging.getLogger("pydicom")
            self._undo.callback(setattr, logger, "disabled", logger.disabled)
            logger.disabled = True
            self._undo.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")

    def leave(self) -> None:
        """The last one out puts things back."""
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._undo.close()


_SILENCE = _Silence()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom, whose warnings and log lines quote what stands in a file."""
    _SILENCE.enter()
    try:
        yield
    finally:
        _SILENCE.leave()


def read_dataset(
    file: IO[bytes], *, tags: Sequence[str] | None = None, pixels: bool = False
) -> FileDataset | None:
    """One file's attributes; None if it is not DICOM.

    Args:
        file: At its start; can be sought.
        tags: Keywords of the attributes to keep; all if None.
        pixels: Whether pixel data is read too.

    Raises:
        UnreadableHeaderError: If it begins as DICOM and cannot be read as such.
    """
    try:
        start = file.read(_META_START)
        if not looks_like_dicom(start):
            return None
        file.seek(0)
        with quiet():
            file = _inflate_within_bounds(file, start)
            dataset = dcmread(
                file,
                stop_before_pixels=not pixels,
                force=True,
                specific_tags=None if tags is None else list(tags),
            )
            dataset.get("SOPClassUID")  # what cannot be decoded shows here
    except PARSE_FAILURES:
        raise UnreadableHeaderError from None
    return dataset


def _inflate_within_bounds(file: IO[bytes], start: bytes) -> IO[bytes]:
    """The file itself; of a deflated one, its bytes after a look at what they inflate to."""
    if start[128:132] != b"DICM" or DeflatedExplicitVRLittleEndian.encode() not in _read_meta(
        file, start
    ):
        file.seek(0)
        return file
    if file.seek(0, os.SEEK_END) > _LARGEST_INFLATED:
        raise ValueError("is too large to unpack")
    file.seek(0)
    data = file.read()
    end = _META_START + int.from_bytes(start[_META_LENGTH_AT:_META_START], "little")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    limit = min(_LARGEST_INFLATED, most_unpacked(len(data)))
    count, pending = 0, data[end:]
    while pending and not inflater.eof:
        count += len(inflater.decompress(pending, _CHUNK_BYTES))
        if count > limit:
            raise ValueError("inflates to too much")
        pending = inflater.unconsumed_tail
    return io.BytesIO(data)


def _read_meta(file: IO[bytes], start: bytes) -> bytes:
    """The file's meta group, at most 4 KB of it."""
    file.seek(_META_START)
    return file.read(min(int.from_bytes(start[_META_LENGTH_AT:_META_START], "little"), 4096))


def text(dataset: Dataset, keyword: str) -> str:
    """An attribute as text without padding; empty if it is absent or cannot be read."""
    try:
        with quiet():
            value = dataset.get(keyword)
        return "" if value is None else str(value).strip(" \0")
    except PARSE_FAILURES:
        return ""


def number(dataset: Dataset, keyword: str) -> float | None:
    """An attribute as one finite number; None if it is not that."""
    values = numbers(dataset, keyword, 1)
    return None if values is None else float(values[0])


def numbers(dataset: Dataset, keyword: str, count: int) -> np.ndarray | None:
    """An attribute as ``count`` finite numbers; None if it is not that."""
    try:
        with quiet():
            value = dataset.get(keyword)
        values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except PARSE_FAILURES:
        return None
    return values if values.shape == (count,) and np.isfinite(values).all() else None


def whole(dataset: Dataset, keyword: str) -> int | None:
    """An attribute as a whole number; None if it is not that."""
    value = number(dataset, keyword)
    return int(value) if value is not None and value == int(value) else None


def item(dataset: Dataset, keyword: str) -> Dataset:
    """The first item of a sequence; an empty one if there is none."""
    return next(iter(items(dataset, keyword)), Dataset())


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none if it is absent or no sequence."""
    try:
        with quiet():
            return [one for one in dataset.get(keyword) or () if isinstance(one, Dataset)]
    except PARSE_FAILURES:
        return []


def class_name(dataset: Dataset) -> str:
    """What kind of object a file is, in the standard's words, never in the file's."""
    uid = UID(text(dataset, "SOPClassUID"), config.IGNORE)
    return str(uid.name) if uid and uid.name != uid else UNKNOWN_KIND
