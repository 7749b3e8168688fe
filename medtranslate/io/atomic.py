"""Write a file so that its final name never holds half of it."""

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

_LONGEST_NAME_BYTES = 200


@contextlib.contextmanager
def atomic_path(path: Path | str, *, suffix: str | None = None) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name when the block ends well.

    The temporary file lies in the same folder, is hidden (``.name.<random>.tmp``), is flushed to
    the disk, renamed in one step, and the folder is flushed after it. When the block raises, the
    temporary file is removed and whatever stood under ``path`` stays as it was. Do nothing in the
    block but write: any ``OSError`` in it is told as a failure to write ``path``.

    Args:
        path: Final name; missing folders are made.
        suffix: End of the temporary name, for libraries that choose a format by it; ``.tmp`` if
            None.

    Yields:
        Where to write; the file exists and is empty.

    Raises:
        VolumeWriteError: If the folder cannot be written to or the disk is full.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise VolumeWriteError(f"{path}: is a folder, expected a file; choose another name")
        temporary = _make_temporary(path, suffix or "")
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        temporary = None
        _flush(path.parent)
    except OSError as error:
        raise _describe_failure(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_writer(path: Path | str) -> Iterator[IO[bytes]]:
    """A binary file that takes the name ``path`` when the block ends well; see `atomic_path`.

    Raises:
        VolumeWriteError: If the folder cannot be written to or the disk is full.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        yield file
        file.flush()


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write ``data`` atomically. Raises as :func:`atomic_writer`."""
    with atomic_writer(path) as file:
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
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _make_temporary(path: Path, suffix: str) -> Path:
    """Create the empty temporary file with the permissions any new file would have."""
    stem = path.name.encode()[:_LONGEST_NAME_BYTES].decode(errors="ignore")
    temporary = path.parent / f".{stem}.{secrets.token_hex(6)}.tmp{suffix}"
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return temporary


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


def _describe_failure(path: Path, error: OSError) -> VolumeWriteError:
    """Say what stopped the writing and what to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(path.parent).free
            return VolumeWriteError(
                f"{path}: the disk is full ({free:,} bytes free); nothing was written under this "
                "name. Free some space or choose another folder, then run again"
            )
    return VolumeWriteError(
        f"{path}: cannot be written ({error.strerror or error}); nothing was written under this "
        "name. Check the folder and its permissions"
    )
