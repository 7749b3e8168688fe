"""Write a file, or a folder of them, so that its final name never holds half of it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from medtranslate.errors import VolumeWriteError
from medtranslate.io.leftovers import clear_leftovers, hold

_LONGEST_NAME_BYTES = 200

_NOTHING = "nothing was written under this name"
_AS_IT_WAS = "what it held before is whole"


@contextlib.contextmanager
def atomic_path(
    path: Path | str, *, suffix: str | None = None, num_bytes: int | None = None
) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name when the block ends well.

    The temporary file lies in the same folder, is hidden (``.name.<random>.tmp``), is flushed to
    the disk, renamed in one step, and the folder is flushed after it. When the block raises, the
    temporary file is removed and whatever stood under ``path`` stays as it was; what an earlier
    writer of ``path`` left when it was killed is removed too. Do nothing in the block but write:
    any ``OSError`` in it is told as a failure to write ``path``.

    Args:
        path: Final name; missing folders are made.
        suffix: End of the temporary name, for libraries that choose a format by it; ``.tmp`` if
            None.
        num_bytes: How much will be written, for the message when the disk is full.

    Yields:
        Where to write; the file exists and is empty.

    Raises:
        VolumeWriteError: If the folder cannot be written to or the disk is full.
    """
    path = Path(path)
    temporary: Path | None = None
    handle: int | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise VolumeWriteError(f"{path}: is a folder, expected a file; choose another name")
        clear_leftovers(path.parent, of=_stem(path))
        temporary, handle = _make_temporary(path, suffix or "")
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        temporary = None
        _flush(path.parent)
    except OSError as error:
        written = _remove(temporary)
        raise describe_failure(path, error, num_bytes=num_bytes or written) from error
    finally:
        _remove(temporary)
        if handle is not None:
            os.close(handle)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside ``path`` that takes its name when the block ends well.

    As :func:`atomic_path`; every file inside is flushed before. A folder that stood under
    ``path`` is replaced: between two renames there is none.

    Raises:
        VolumeWriteError: If the folder cannot be written to or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent, of=_stem(path))
        temporary, handle = _make_temporary_folder(path)
    except OSError as error:
        raise describe_failure(path, error) from error
    try:
        yield temporary
        for written in [*temporary.rglob("*"), temporary]:
            _flush(written)
        _take_place(temporary, path)
        _flush(path.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise describe_failure(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(handle)


@contextlib.contextmanager
def atomic_writer(path: Path | str, *, num_bytes: int | None = None) -> Iterator[IO[bytes]]:
    """A binary file that takes the name ``path`` when the block ends well; see `atomic_path`.

    Raises:
        VolumeWriteError: If the folder cannot be written to or the disk is full.
    """
    with (
        atomic_path(path, num_bytes=num_bytes) as temporary,
        temporary.open("wb") as file,
    ):
        yield file
        file.flush()


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write ``data`` atomically. Raises as :func:`atomic_writer`."""
    with atomic_writer(path, num_bytes=len(data)) as file:
        file.write(data)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` as UTF-8, atomically. Raises as :func:`atomic_writer`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path | str, data: Any) -> None:  # Any: whatever JSON can hold
    """Write plain data as JSON, keys in the order given, two spaces deep, atomically.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON cannot hold.
        VolumeWriteError: As :func:`atomic_writer`.
    """
    write_text(path, format_json(data))


def format_json(data: Any) -> str:  # Any: whatever JSON can hold
    """Plain data as the text that :func:`write_json` writes. Raises as that."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def append_text(path: Path, text: str) -> None:
    """Add ``text`` as UTF-8 at the end of a file, all of it or nothing.

    Raises:
        VolumeWriteError: If the file cannot be written to or the disk is full.
    """
    data = text.encode("utf-8")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            _append(handle, data)
        finally:
            os.close(handle)
    except OSError as error:
        raise describe_failure(path, error, num_bytes=len(data), left=_AS_IT_WAS) from error


def _append(handle: int, data: bytes) -> None:
    size = os.fstat(handle).st_size
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(handle, rest) :]
    except OSError:
        os.ftruncate(handle, size)
        raise


def describe_failure(
    path: Path, error: OSError, *, num_bytes: int | None = None, left: str = _NOTHING
) -> VolumeWriteError:
    """Say what stopped the writing of ``path`` and what to do about it.

    Args:
        path: What could not be written.
        error: What the system said.
        num_bytes: How much it needs, as far as known.
        left: What stands under the name now.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(path.parent).free
            needed = f"at least {num_bytes:,} bytes needed, " if num_bytes else ""
            return VolumeWriteError(
                f"{path}: the disk is full ({needed}{free:,} bytes free); {left}. Free some space,"
                " or choose another folder"
            )
    return VolumeWriteError(
        f"{path}: cannot be written ({error.strerror or error}); {left}. Check the folder and its"
        " permissions"
    )


def _stem(path: Path) -> str:
    """The part of a temporary name that says whose it is."""
    return path.name.encode()[:_LONGEST_NAME_BYTES].decode(errors="ignore")


def _make_temporary(path: Path, suffix: str) -> tuple[Path, int]:
    """The empty temporary file, with the permissions any new file would have, and its lock."""
    while True:
        temporary = path.parent / f".{_stem(path)}.{secrets.token_hex(6)}.tmp{suffix}"
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        with contextlib.suppress(FileNotFoundError):
            if (handle := hold(temporary)) is not None:
                return temporary, handle


def _make_temporary_folder(path: Path) -> tuple[Path, int]:
    while True:
        temporary = path.parent / f".{_stem(path)}.{secrets.token_hex(6)}.tmp"
        temporary.mkdir()
        with contextlib.suppress(FileNotFoundError):
            if (handle := hold(temporary)) is not None:
                return temporary, handle


def _take_place(temporary: Path, path: Path) -> None:
    """Rename a folder; one that stood there is set aside first and removed after."""
    if path.exists() and any(path.iterdir()):
        aside = path.parent / f".{_stem(path)}.{secrets.token_hex(6)}.tmp"
        path.rename(aside)
        temporary.rename(path)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        temporary.rename(path)


def _remove(temporary: Path | None) -> int | None:
    """Remove a temporary file that is still there; how many bytes it held."""
    if temporary is None:
        return None
    try:
        written = temporary.stat().st_size
        temporary.unlink()
    except OSError:
        return None
    return written


def _flush(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot flush a folder; the rename itself has been done.
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP)):
            raise
    finally:
        os.close(handle)
