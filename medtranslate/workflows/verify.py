"""Verify: which marks and fingerprints of a file or folder are there, and which still hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medtranslate.checkpoint import find_model
from medtranslate.errors import CheckpointError, ConfigError
from medtranslate.io import scan_suffix
from medtranslate.manifest import MANIFEST_FILE
from medtranslate.watermark import read_watermark_key
from medtranslate.workflows.checks import Check, Verification
from medtranslate.workflows.found_inputs import find_inputs
from medtranslate.workflows.preprocess import RECORD_FILE
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.replay import replay_scans
from medtranslate.workflows.verify_marks import (
    check_listed,
    check_manifest,
    check_marks,
    find_manifest,
    find_synthetic,
)
from medtranslate.workflows.verify_preprocessing import check_preprocessing
from medtranslate.workflows.verify_watermark import check_watermarks, count_recorded


def verify(
    path: Path,
    *,
    data: Sequence[Path] = (),
    models: Sequence[Path] = (),
    replay: bool = False,
    signer: str | None = None,
    watermark_key: Path | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Look at the marks and records of a synthetic scan, or of a folder of results.

    Args:
        path: A scan, a run folder, or a folder that a command wrote.
        data: Where the inputs lie, which records name by content alone; without it, what depends
            on inputs is not looked at.
        models: The models to replay with; a run folder's own if none is given.
        replay: Make the synthetic scans again and compare.
        signer: Public key that must have signed; any key if None.
        watermark_key: Key file of a watermark to look for.
        progress: Told how far things are.

    Raises:
        ConfigError: If there is nothing to compare with, a record is damaged, a replay lacks its
            data or model, or the watermark key cannot be read.
        DatasetError: If ``data`` names what is not there.
    """
    progress = progress or NoProgress()
    scans = find_synthetic(path) if path.is_dir() else [path]
    inputs = find_inputs(data) if data else None
    watermark = None if watermark_key is None else read_watermark_key(watermark_key)
    checks: list[Check] = []
    if path.is_dir():
        checks += _check_folder(path, inputs, signer, progress)
    elif path.is_file() and scan_suffix(path) is not None:
        manifest = find_manifest(path)
        checks += check_listed(path, manifest, signer=signer) if manifest is not None else ()
    else:
        raise ConfigError(f"{path}: no such scan or folder; give a synthetic scan or a run folder")
    for scan in scans:
        checks += check_marks(scan)
    if watermark is not None:
        checks += check_watermarks(path, scans, watermark)
    if replay:
        if inputs is None:
            raise ConfigError("--replay needs the source scans; give where they lie with --data")
        models = models or [_own_model(path)]
        checks += replay_scans(
            scans, models=models, inputs=inputs, watermark=watermark, progress=progress
        )
    if not checks:
        raise ConfigError(
            f"{path}: holds no {MANIFEST_FILE}, no {RECORD_FILE} and no synthetic scan; give what"
            " a command of medtranslate wrote"
        )
    notes = _notes(path, inputs is not None)
    if watermark is None and (count := count_recorded(path, scans)):
        notes.append(
            f"{count} of the scans say that they carry a watermark; give its key with"
            " --watermark-key to look for it"
        )
    return Verification(path, tuple(checks), tuple(notes))


def _check_folder(
    folder: Path, inputs: dict[str, Path] | None, signer: str | None, progress: Progress
) -> list[Check]:
    checks: list[Check] = []
    manifests = sorted(folder.rglob(MANIFEST_FILE))
    for manifest in manifests:
        checks += check_manifest(manifest.parent, signer=signer)
    if (folder / RECORD_FILE).exists():
        checks += check_preprocessing(folder, inputs, progress=progress)
    return checks


def _own_model(path: Path) -> Path:
    try:
        return find_model(path)
    except CheckpointError:
        raise ConfigError("--replay needs the model; give its folder with --model") from None


def _notes(path: Path, has_inputs: bool) -> list[str]:
    if (path / RECORD_FILE).exists() and not has_inputs:
        return ["inputs were not looked at; give where they lie with --data"]
    return []
