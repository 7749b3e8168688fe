"""Read a file's bytes, and no more of them than its header promises."""

from __future__ import annotations

import contextlib
import gzip
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from isal import igzip
from isal.igzip_lib import IsalError

from medtranslate.errors import VolumeReadError

_CHUNK_BYTES = 1 << 20
_LARGEST_RATIO = 1040
"""Deflate cannot pack more than 1032 bytes into one; a larger claim cannot be met by the file."""

_FETCH_AGAIN = "Fetch the file again, or make it again from its origin"


def check_file(path: Path) -> int:
    """Bytes of a regular file.

    Raises:
        VolumeReadError: If it is absent, a folder, a device or empty.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise VolumeReadError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:
        raise VolumeReadError(f"{path!s}: cannot be opened ({error})") from error
    if stat.S_ISDIR(status.st_mode):
        raise VolumeReadError(
            f"{path}: is a folder without DICOM, expected one scan. Give a file, or the folder of a"
            " DICOM series"
        )
    if not stat.S_ISREG(status.st_mode):
        raise VolumeReadError(f"{path}: is not a regular file; copy its content into one")
    if status.st_size == 0:
        raise VolumeReadError(f"{path}: is empty (0 bytes), expected a scan. {_FETCH_AGAIN}")
    return status.st_size


@contextlib.contextmanager
def _explain_failures(path: Path) -> Iterator[None]:
    """Tell every way in which reading can fail as one error that names the file."""
    try:
        yield
    except EOFError:
        raise VolumeReadError(f"{path}: gzip stream ends too early. {_FETCH_AGAIN}") from None
    # isal declares an instance where it has the class.
    except (zlib.error, IsalError, gzip.BadGzipFile) as error:  # type: ignore[misc]
        raise VolumeReadError(
            f"{path}: packed data is damaged ({error}). {_FETCH_AGAIN}"
        ) from error
    except OSError as error:
        raise VolumeReadError(
            f"{path}: cannot be read ({error.strerror or error}). Check its permissions"
        ) from error


def peek(path: Path, count: int = 512) -> bytes:
    """The first ``count`` bytes as they stand in the file.

    Raises:
        VolumeReadError: If the file is absent, empty or cannot be read.
    """
    check_file(path)
    with _explain_failures(path), path.open("rb") as file:
        return file.read(count)


def read_start(path: Path, count: int, *, compressed: bool) -> bytes:
    """The first ``count`` bytes, or fewer where the file ends, after unpacking.

    Raises:
        VolumeReadError: If the file is absent, empty, not packed as its name says, or damaged.
    """
    start = peek(path, max(count, 512))
    packed = start.startswith(b"\x1f\x8b")
    if packed != compressed:
        raise VolumeReadError(_describe_packing(path, start, packed=packed))
    if not compressed:
        return start[:count]
    # igzip reads ahead, and would stumble over what is wrong behind the first bytes.
    with _explain_failures(path), gzip.open(path, "rb") as stream:
        return stream.read(count)


def read_exactly(
    path: Path, promised: int, *, compressed: bool, surplus: int = 0, start: int = 0
) -> bytes:
    """All bytes of a file that must hold ``promised`` of them after unpacking.

    A gzip stream is read to its end, so that its checksum is verified; reading stops as soon as
    the stream gives more than was promised, so a small file cannot fill the memory.

    Args:
        path: Regular file.
        promised: Bytes the header announces, its own included.
        compressed: Whether the file is one gzip stream.
        surplus: How many bytes more than promised are still accepted.
        start: Where the promised bytes begin; only for files that are not compressed.

    Raises:
        VolumeReadError: If there are fewer or more bytes, or the stream is damaged.
    """
    size = check_file(path) - start
    largest = size * _LARGEST_RATIO if compressed else size
    if promised > largest:
        raise VolumeReadError(_describe_short(path, size, promised, compressed=compressed))
    if not compressed:
        if size > promised + surplus:
            raise VolumeReadError(_describe_long(path, promised))
        with _explain_failures(path), path.open("rb") as file:
            file.seek(start)
            data = file.read(promised)
    else:
        data = _inflate_gzip(path, promised, surplus=surplus)
    if len(data) < promised:
        raise VolumeReadError(_describe_short(path, len(data), promised, compressed=False))
    return data


def _inflate_gzip(path: Path, promised: int, *, surplus: int) -> bytes:
    """Unpack a gzip file to its end, but no further than is allowed."""
    data = bytearray()
    excess = 0
    with _explain_failures(path), igzip.open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            room = promised - len(data)
            data += chunk[:room]
            excess += max(len(chunk) - room, 0)
            if excess > surplus:
                raise VolumeReadError(_describe_long(path, promised))
    return bytes(data)


def check_inflated(path: Path, promised: int, *, start: int) -> None:
    """Unpack a zlib or gzip stream from ``start`` to the end of the file, keeping nothing.

    Raises:
        VolumeReadError: If it gives fewer or more than ``promised`` bytes, or is damaged.
    """
    size = check_file(path) - start
    if promised > size * _LARGEST_RATIO:
        raise VolumeReadError(_describe_short(path, size, promised, compressed=True))
    inflater = zlib.decompressobj(wbits=47)  # 32 + 15: header of zlib or gzip
    count = 0
    with _explain_failures(path), path.open("rb") as file:
        file.seek(start)
        pending = file.read(_CHUNK_BYTES)
        while pending and not inflater.eof and count <= promised:
            count += len(inflater.decompress(pending, _CHUNK_BYTES))
            pending = inflater.unconsumed_tail or file.read(_CHUNK_BYTES)
        if count <= promised:
            count += len(inflater.flush())
    if count > promised or inflater.unused_data:
        raise VolumeReadError(_describe_long(path, promised))
    if count < promised or not inflater.eof:
        raise VolumeReadError(_describe_short(path, count, promised, compressed=False))


def describe_content(start: bytes) -> str:
    """What a file that is not the scan it claims to be seems to hold, and what to do.

    The content itself is never quoted: it may name a person.
    """
    if not start:
        return "holds nothing. Fetch it again"
    if start[128:132] == b"DICM":
        return "holds DICOM. Give it a name that ends in .dcm, or give the folder of its series"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "holds a web page, perhaps a failed download. Download the file again"
    if b"/annex/objects/" in start or b"git-lfs" in start:
        return "is a pointer to a file that was not fetched. Run 'datalad get' or 'git lfs pull'"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return "holds text. Fetch or convert the scan again"
    return "holds something else. Check where it comes from, or convert it again"


def _describe_packing(path: Path, start: bytes, *, packed: bool) -> str:
    if packed:
        return f"{path}: is packed with gzip, which its name does not say. Add .gz to the name"
    known = start[4:8] == b"n+1\0" or start[344:348] == b"n+1\0"
    what = "is NIfTI without gzip. Take .gz off the name" if known else describe_content(start)
    return f"{path}: expected gzip, but the file {what}"


def _describe_short(path: Path, present: int, promised: int, *, compressed: bool) -> str:
    kind = "packed bytes, which cannot unpack to" if compressed else "bytes of"
    return (
        f"{path}: is cut off or its header is damaged: it holds {present:,} {kind} the {promised:,}"
        f" its header promises. {_FETCH_AGAIN}"
    )


def _describe_long(path: Path, promised: int) -> str:
    return (
        f"{path}: holds more than the {promised:,} bytes its header promises, so header and voxels"
        " do not belong together. Make it again from its origin"
    )
