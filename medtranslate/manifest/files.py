"""What one file was when it was written: the hash of its bytes, and of its voxels."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from medtranslate.errors import MedTranslateError
from medtranslate.io import read_volume, scan_suffix, sidecar_path
from medtranslate.io.documents import read_document
from medtranslate.io.writing import VOXELS_KEY
from medtranslate.provenance import hash_file, hash_volume
from medtranslate.settings import Settings


def _check_inside(name: str) -> str:
    """Refuse a name that leads out of the manifest's folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
        raise ValueError("names a file outside the manifest's folder")
    return name


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, AfterValidator(_check_inside)]


class FileRecord(Settings):
    """What one file was when it was written.

    Attributes:
        sha256: Of its bytes.
        volume_sha256: Of its decoded voxels and affine, which packing it again does not change;
            None for what is not a scan.
    """

    sha256: Sha256
    volume_sha256: Sha256 | None = None


def describe_file(path: Path) -> FileRecord:
    """The hashes of a file, and of its voxels if it is a scan."""
    return FileRecord(sha256=hash_file(path), volume_sha256=hash_scan(path))


def describe_written(path: Path) -> FileRecord:
    """As :func:`describe_file`, of a file that we have just written and read back.

    Of a scan with a sidecar the sidecar tells the hash of the voxels, which is not taken again.
    """
    if scan_suffix(path) is not None:
        try:
            known = read_document(sidecar_path(path)).get(VOXELS_KEY)
        except (OSError, ValueError):
            known = None
        if isinstance(known, str):
            return FileRecord(sha256=hash_file(path), volume_sha256=known)
    return describe_file(path)


def hash_scan(path: Path) -> str | None:
    """SHA-256 of a scan's decoded voxels and affine; None for what is not a readable scan."""
    if scan_suffix(path) is None:
        return None
    try:
        volume = read_volume(path)
    except MedTranslateError:
        return None
    return hash_volume(volume.voxels, volume.geometry.affine)
