"""Find the scans that a record speaks of by their content, as it does not say where they lay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from medtranslate.data.index import index_dataset
from medtranslate.errors import DatasetError, MedTranslateError
from medtranslate.io import read_volume, scan_suffix
from medtranslate.provenance import hash_file, hash_volume

_TRANSFORM_SUFFIXES = (".txt", ".tfm")


def find_inputs(data: Sequence[Path]) -> dict[str, Path]:
    """Where each input lies, by its fingerprint; what cannot be read is passed over.

    Args:
        data: Scans, folders of them, or tables that name them.

    Raises:
        DatasetError: If one of them is not there.
    """
    found: dict[str, Path] = {}
    for path in data:
        if not path.exists():
            raise DatasetError(f"{path}: no such file or folder; give where the inputs lie")
        for file in _list_files(path):
            fingerprint = _hash_input(file)
            if fingerprint is not None:
                found.setdefault(fingerprint, file)
    return found


def need_input(found: Mapping[str, Path], fingerprint: str, *, what: str) -> Path:
    """The file of a fingerprint.

    Raises:
        DatasetError: If there is none.
    """
    if fingerprint not in found:
        raise DatasetError(
            f"no file with the content of the {what} ({fingerprint[:12]}) in what --data gives:"
            " absent or altered"
        )
    return found[fingerprint]


def hash_input_scan(path: Path) -> str:
    """The fingerprint that preprocessing records of a scan.

    Raises:
        MedTranslateError: If it cannot be read.
    """
    volume = read_volume(path)
    return hash_volume(volume.voxels.astype("float32"), volume.geometry.affine)


def _list_files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file())
    elif scan_suffix(path) is not None:
        yield path
    else:
        index = index_dataset(path)
        yield from (scan.path for scan in index.scans)
        yield from (transform.path for transform in index.transforms)


def _hash_input(path: Path) -> str | None:
    if path.suffix.lower() in _TRANSFORM_SUFFIXES:
        return hash_file(path)
    if scan_suffix(path) is None:
        return None
    try:
        return hash_input_scan(path)
    except MedTranslateError:
        return None
