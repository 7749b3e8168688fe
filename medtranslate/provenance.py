"""Record what made a file, so that it can be checked and made again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import medtranslate

_LIBRARIES = (
    "numpy", "scipy", "nibabel", "SimpleITK", "scikit-image", "torch", "monai", "pydantic"
)  # fmt: skip
_AFFINE_DECIMALS = 5
_CHUNK_BYTES = 1 << 20


def hash_bytes(data: bytes | bytearray | memoryview) -> str:
    """SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; constant memory."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def hash_volume(array: np.ndarray, affine: np.ndarray) -> str:
    """SHA-256 of voxels and where they lie, in hexadecimal.

    Memory layout, byte order, compression and file name do not matter; type, shape, every bit of
    every voxel, and the affine to 1e-5 mm do.

    Args:
        array: Voxels of any shape, numbers or booleans.
        affine: Shape ``(4, 4)``; voxel index to world position, millimetres.

    Raises:
        ValueError: If the array does not hold plain numbers.
    """
    if array.dtype.kind not in "biuf":
        raise ValueError(f"array has type {array.dtype}, expected plain numbers or booleans")
    voxels = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    rounded = np.round(np.asarray(affine, dtype="<f8"), _AFFINE_DECIMALS) + 0.0  # no minus zero
    digest = hashlib.sha256()
    digest.update(f"{voxels.dtype.kind}{voxels.dtype.itemsize} {array.shape}\n".encode())
    digest.update(voxels.reshape(-1).view(np.uint8).data)
    digest.update(np.ascontiguousarray(rounded).tobytes())
    return digest.hexdigest()


def hash_json(data: Any) -> str:  # Any: whatever JSON can hold
    """SHA-256 of plain data, in hexadecimal; the order of keys does not matter.

    Raises:
        ValueError: If a number is NaN or infinite.
        TypeError: If something is not plain data.
    """
    text = json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hash_bytes(text.encode("ascii"))


def software_versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that shape a result; imports none."""
    versions = {"medtranslate": medtranslate.__version__, "python": platform.python_version()}
    found = {name: find_version(name) for name in _LIBRARIES}
    return versions | {name: version for name, version in found.items() if version is not None}


@cache  # every scan of a run names them
def find_version(name: str) -> str | None:
    """Version of an installed package; None if it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Commit of the checkout this package runs from, with ``-dirty`` if it was changed.

    As it was when this process first asked: what runs is what was loaded then. None when the
    package is installed without its repository, or git is absent.
    """
    return _describe_checkout(Path(medtranslate.__file__).resolve().parent.parent)


@cache
def _describe_checkout(root: Path) -> str | None:
    if not (root / ".git").exists():
        return None
    command = ["git", "describe", "--exclude=*", "--always", "--abbrev=40", "--dirty"]
    try:
        result = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def describe_run(command: str | Sequence[str], **details: Any) -> dict[str, Any]:
    """What ran, with which software, when: plain data for ``provenance.json`` and sidecars.

    Args:
        command: The command line, as text or as its words.
        **details: Further plain data, for example ``seed=0``; kept as given.
    """
    return {
        "command": command if isinstance(command, str) else shlex.join(command),
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "versions": software_versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        **details,
    }
