"""Say which marks a synthetic scan carries, and whether manifests still fit what they list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medtranslate.errors import MedTranslateError
from medtranslate.io import parse_bids_name, scan_suffix, sidecar_path
from medtranslate.io.documents import read_document
from medtranslate.io.marks import read_header_texts
from medtranslate.io.writing import VOXELS_KEY
from medtranslate.manifest import (
    MANIFEST_FILE,
    FileRecord,
    Manifest,
    describe_key,
    read_manifest,
)
from medtranslate.manifest.files import hash_scan
from medtranslate.manifest.outputs import take_snapshot
from medtranslate.provenance import hash_file
from medtranslate.workflows.checks import Check, compare_hashes
from medtranslate.workflows.marking import DESCRIPTION

_ABSENT = "absent"
_BEGINNING = DESCRIPTION.split(" ")[0]


def find_manifest(path: Path) -> Path | None:
    """The nearest manifest that may list a file: beside it or in a folder above."""
    for folder in path.resolve().parents:
        if (folder / MANIFEST_FILE).is_file():
            return folder / MANIFEST_FILE
    return None


def find_synthetic(folder: Path) -> list[Path]:
    """The scans in a folder that say they are synthetic, by sidecar, header or name."""
    paths = (path for path in sorted(folder.rglob("*")) if scan_suffix(path) and path.is_file())
    return [path for path in paths if _seems_synthetic(path)]


def check_marks(path: Path) -> Iterator[Check]:
    """The marks in a scan's own header and in the sidecar beside it."""
    if (scan_suffix(path) or "").lower() in (".nii", ".nii.gz"):
        texts = read_header_texts(path)
        marked = texts.description.startswith(_BEGINNING)
        yield Check(path.name, "descrip", marked, texts.description if marked else _ABSENT)
        mark = texts.find_mark()
        maker = "" if mark is None else f"model {str(mark.get('ModelSha256'))[:12]}"
        yield Check(path.name, "header extension", mark is not None, maker or _ABSENT)
    yield from _check_sidecar(path)


def check_listed(path: Path, manifest_path: Path, *, signer: str | None) -> Iterator[Check]:
    """Whether a manifest's signature holds and one file is what it lists."""
    manifest = read_manifest(manifest_path)
    yield _check_signature(manifest_path.parent, manifest, signer)
    name = path.resolve().relative_to(manifest_path.parent).as_posix()
    if name not in manifest.files:
        yield Check(name, "manifest", False, "does not list this file")
    else:
        yield from _check_file(manifest_path.parent, name, manifest.files[name])


def check_manifest(folder: Path, *, signer: str | None) -> Iterator[Check]:
    """Whether a folder's manifest holds: its signature, and every file that it lists.

    Raises:
        ConfigError: If the manifest cannot be read.
    """
    manifest = read_manifest(folder / MANIFEST_FILE)
    yield _check_signature(folder, manifest, signer)
    for name, record in manifest.files.items():
        yield from _check_file(folder, name, record)
    for name in sorted(set(take_snapshot(folder)) - set(manifest.files)):
        yield Check(name, "manifest", False, "does not list this file: added later")


def _check_signature(folder: Path, manifest: Manifest, signer: str | None) -> Check:
    name = f"{folder.name}/{MANIFEST_FILE}"
    if not manifest.holds:
        return Check(name, "signature", False, "is not of this content: altered")
    told = f"by key {describe_key(manifest.public_key)}"
    if signer is not None and manifest.public_key != signer:
        return Check(name, "signature", False, f"{told}, expected {describe_key(signer)}")
    return Check(name, "signature", True, told)


def _check_file(folder: Path, name: str, record: FileRecord) -> Iterator[Check]:
    path = folder / name
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        yield Check(name, "file", False, "absent")
        return
    same = compare_hashes(name, "file", record.sha256, hash_file(path))
    yield same
    if record.volume_sha256 is not None:
        found = record.volume_sha256 if same.holds else (hash_scan(path) or "nothing readable")
        yield compare_hashes(name, "voxels", record.volume_sha256, found)


def _check_sidecar(path: Path) -> Iterator[Check]:
    try:
        sidecar = read_document(sidecar_path(path))
    except FileNotFoundError:
        yield Check(path.name, "sidecar", False, _ABSENT)
        return
    except (OSError, ValueError) as error:
        yield Check(path.name, "sidecar", False, f"cannot be read ({error})")
        return
    synthetic = sidecar.get("Synthetic") is True
    yield Check(path.name, "sidecar", synthetic, "" if synthetic else "does not say synthetic")
    if isinstance(recorded := sidecar.get(VOXELS_KEY), str):
        found = hash_scan(path) or "nothing readable"
        yield compare_hashes(path.name, "voxels by sidecar", recorded, found)


def _seems_synthetic(path: Path) -> bool:
    name = parse_bids_name(path)
    if name is not None and (name.get("desc") or "").startswith("synthetic"):
        return True
    try:
        if read_document(sidecar_path(path)).get("Synthetic") is True:
            return True
    except (OSError, ValueError):
        pass
    try:
        return read_header_texts(path).description.startswith(_BEGINNING)
    except MedTranslateError:
        return False
