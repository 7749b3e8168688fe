"""Sign what a command has written into a folder, and nothing else that lies there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medtranslate.errors import MedTranslateError
from medtranslate.manifest.document import MANIFEST_FILE, read_manifest, write_manifest
from medtranslate.manifest.files import FileRecord, describe_file
from medtranslate.manifest.status import STATUS_FOLDER, read_files
from medtranslate.provenance import hash_file

_WORKING_FOLDERS = ("cache", "checkpoints", "evidence", "logs")
"""What a run keeps for itself; it changes, and may be deleted, without a result changing."""

Snapshot = Mapping[str, tuple[int, int]]
"""Files of a folder by relative name, with what changes when one is written anew."""


def take_snapshot(folder: Path) -> Snapshot:
    """What lies in a folder now; empty if there is none.

    A folder below that has a manifest of its own counts as that manifest. Hidden files and the
    working folders of a run are left out.
    """
    found = {}
    for path in _walk(folder):
        status = path.stat()
        found[path.relative_to(folder).as_posix()] = (status.st_ino, status.st_mtime_ns)
    return found


def sign_outputs(
    folder: Path,
    *,
    since: Snapshot,
    record: Mapping[str, Any],
    key: Ed25519PrivateKey,
) -> Path:
    """Write a signed manifest of what was written since a snapshot, and by earlier calls.

    What an earlier manifest lists, or the status files of a call that did not live to write one,
    stays as it was recorded, so that a file which somebody changed in between is not vouched for;
    where their own signature does not hold, it goes.

    Args:
        folder: The output folder.
        since: Taken by :func:`take_snapshot` before the work began.
        record: What ran, from which inputs, by which model; plain JSON data.
        key: Signs.

    Raises:
        VolumeWriteError: If the manifest cannot be written.
    """
    now = take_snapshot(folder)
    made, listed = _read_earlier(folder)
    finished = _read_finished(folder, now)
    fresh = {
        name: describe_file(folder / name)
        for name in now
        if now[name] != since.get(name) and name not in finished
    }
    known = {name: one for name, one in (listed | finished).items() if name in now}
    return write_manifest(folder, made=(*made, record), files=known | fresh, key=key)


@dataclass(frozen=True)
class Recorded:
    """What signed records in a folder say of the files in it.

    Attributes:
        folder: The folder.
        files: By name relative to it.
    """

    folder: Path
    files: Mapping[str, FileRecord]

    def holds(self, *paths: Path) -> bool:
        """Whether each of these files was recorded and is as it was recorded."""
        return all(self._holds(path) for path in paths)

    def _holds(self, path: Path) -> bool:
        found = self.files.get(path.relative_to(self.folder).as_posix())
        return found is not None and path.is_file() and hash_file(path) == found.sha256


def read_recorded(folder: Path) -> Recorded:
    """What the manifest of a folder and the status files in it say; nothing if there are none."""
    _, listed = _read_earlier(folder)
    return Recorded(folder, listed | _read_finished(folder, take_snapshot(folder)))


def _read_earlier(folder: Path) -> tuple[tuple[Mapping[str, Any], ...], dict[str, FileRecord]]:
    try:
        earlier = read_manifest(folder / MANIFEST_FILE)
    except MedTranslateError:
        return (), {}
    return (earlier.made, dict(earlier.files)) if earlier.holds else ((), {})


def _read_finished(folder: Path, now: Snapshot) -> dict[str, FileRecord]:
    """What signed status files below a folder say of the files beside them, and themselves."""
    found = {}
    for name in now:
        path = PurePosixPath(name)
        if path.parent.name != STATUS_FOLDER or (files := read_files(folder / name)) is None:
            continue
        found[name] = describe_file(folder / name)
        beside = path.parent.parent
        found.update({(beside / one).as_posix(): record for one, record in files.items()})
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for place, subfolders, names in os.walk(folder):
        here = Path(place)
        if here != folder and MANIFEST_FILE in names:
            subfolders[:] = []
            yield here / MANIFEST_FILE
            continue
        hidden_or_working = (
            name for name in subfolders if name.startswith(".") or name in _WORKING_FOLDERS
        )
        for name in list(hidden_or_working):
            subfolders.remove(name)
        own = MANIFEST_FILE if here == folder else None
        for name in names:
            path = here / name
            if not name.startswith(".") and name != own and path.is_file():
                yield path
