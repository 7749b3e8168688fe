"""Sign what a command has written into a folder, and nothing else that lies there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medtranslate.errors import MedTranslateError
from medtranslate.io import read_volume, scan_suffix
from medtranslate.manifest.document import (
    MANIFEST_FILE,
    FileRecord,
    read_manifest,
    write_manifest,
)
from medtranslate.provenance import hash_file, hash_volume

_WORKING_FOLDERS = ("cache", "checkpoints", "logs")
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
    """Write a signed manifest of what was written since a snapshot.

    Entries of an earlier manifest stay as they were recorded, so that a file which somebody
    changed in between is not vouched for; if that manifest's own signature does not hold, its
    entries go.

    Args:
        folder: The output folder.
        since: Taken by :func:`take_snapshot` before the work began.
        record: What ran, from which inputs, by which model; plain JSON data.
        key: Signs.

    Raises:
        VolumeWriteError: If the manifest cannot be written.
    """
    now = take_snapshot(folder)
    made, files = _read_earlier(folder)
    kept = {name: one for name, one in files.items() if name in now}
    fresh = {name: describe_file(folder / name) for name in now if now[name] != since.get(name)}
    return write_manifest(folder, made=(*made, record), files=kept | fresh, key=key)


def describe_file(path: Path) -> FileRecord:
    """The hashes of a file, and of its voxels if it is a scan."""
    return FileRecord(sha256=hash_file(path), volume_sha256=hash_scan(path))


def hash_scan(path: Path) -> str | None:
    """SHA-256 of a scan's decoded voxels and affine; None for what is not a readable scan."""
    if scan_suffix(path) is None:
        return None
    try:
        volume = read_volume(path)
    except MedTranslateError:
        return None
    return hash_volume(volume.voxels, volume.geometry.affine)


def _read_earlier(folder: Path) -> tuple[tuple[Mapping[str, Any], ...], dict[str, FileRecord]]:
    try:
        earlier = read_manifest(folder / MANIFEST_FILE)
    except MedTranslateError:
        return (), {}
    return (earlier.made, dict(earlier.files)) if earlier.holds else ((), {})


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
