"""Tell the temporary files of writers that live from those of writers that died."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from pathlib import Path

_LEFTOVER = re.compile(r"^\.(?P<name>.+)\.[0-9a-f]{12}\.tmp(\.[A-Za-z0-9.]+)?$")


def hold(path: Path) -> int | None:
    """Lock a temporary file or folder for as long as its writer lives.

    The kernel lets go of the lock when the process ends, however it ends.

    Returns:
        An open handle to close when the writing is done; None if the name was cleared away before
        it could be locked.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # somebody took it for a leftover and is about to remove it
        os.close(handle)
        return None
    except OSError:  # a file system without locks: nobody clears there either
        return handle
    if os.fstat(handle).st_nlink:
        return handle
    os.close(handle)
    return None


def clear_leftovers(folder: Path, *, of: str | None = None) -> None:
    """Remove what killed writers left below ``folder``: hidden, and locked by no process.

    Args:
        folder: Where to look; may be absent.
        of: Only leftovers of this final name, and only in the folder itself; all below it if None.
    """
    for place, folders, files in os.walk(folder):
        found = [name for name in (*folders, *files) if _is_leftover(name, of)]
        for name in found:
            _remove_if_dead(Path(place, name))
        if of is not None:
            return
        folders[:] = [name for name in folders if name not in found]


def _is_leftover(name: str, of: str | None) -> bool:
    match = _LEFTOVER.match(name)
    return match is not None and (of is None or match["name"] == of)


def _remove_if_dead(path: Path) -> None:
    """Remove a temporary file or folder whose writer is gone; leave it alone in any doubt."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        finally:
            os.close(handle)
