"""One run a folder: whoever writes into a folder locks it, and a second run is refused."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from medtranslate.errors import ConfigError
from medtranslate.io.atomic import describe_failure
from medtranslate.io.leftovers import clear_leftovers

_LOGGER = logging.getLogger(__name__)

LOCK_FILE = ".lock"
"""Holds the process number and the machine of the run that writes into the folder."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
"""What file systems that cannot lock answer, some network disks among them."""


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other runs out of ``folder`` while the block runs; the folder is made if absent.

    The kernel holds the lock and drops it when the process ends, however it ends: the file that a
    killed run leaves behind locks nothing. What killed writers left in the folder is removed. On a
    file system that cannot lock nobody is kept out, and a warning says so.

    Raises:
        ConfigError: If another run is writing into the folder.
        VolumeWriteError: If the folder cannot be written to.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _lock(folder / LOCK_FILE)
    except OSError as error:
        raise describe_failure(folder / LOCK_FILE, error) from error
    try:
        clear_leftovers(folder)
        yield
    finally:
        # Removed while still locked: whoever waits for this file sees that its name is gone.
        (folder / LOCK_FILE).unlink(missing_ok=True)
        os.close(handle)
        if made:
            with contextlib.suppress(OSError):  # it is kept if anything was written
                folder.rmdir()


def _lock(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_named(handle, path):
                _tell_killed(path, _read_holder(handle))
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
                return handle
            os.close(handle)
        except BlockingIOError:
            holder = _read_holder(handle)
            os.close(handle)
            raise _refuse(path, holder) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(handle)
                raise
            _LOGGER.warning(
                "%s: its file system cannot lock (%s), so nobody is kept out: see to it that only"
                " one run writes into this folder",
                path.parent,
                error.strerror,
            )
            return handle
        except BaseException:
            os.close(handle)
            raise


def _read_holder(handle: int) -> list[str]:
    return os.pread(handle, 300, 0).decode(errors="replace").split()


def _tell_killed(path: Path, holder: list[str]) -> None:
    """A run that ends by itself takes its lock file with it; one that is killed leaves it."""
    if len(holder) == 2:
        _LOGGER.warning(
            "%s: process %s on %s, which wrote into this folder before, did not end by itself: it"
            " was killed (by the system, if memory was short), or the machine stopped. What it had"
            " finished is whole and is kept",
            path.parent,
            *holder,
        )


def _is_named(handle: int, path: Path) -> bool:
    """Whether the locked file still has its name, and was not removed by a run that just ended."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), path.stat())
    return False


def _refuse(path: Path, holder: list[str]) -> ConfigError:
    who = f"process {holder[0]} on {holder[1]}" if len(holder) == 2 else "another process"
    return ConfigError(
        f"{path.parent}: {who} is writing into this folder. Wait until it has finished or stop it,"
        " or choose another --out"
    )
