"""Verify: recompute what ``preprocessing.json`` records, and say which fingerprints still hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medtranslate.errors import ConfigError, MedTranslateError
from medtranslate.io import read_volume
from medtranslate.preprocess.preparation import hash_settings, prepare, used_versions
from medtranslate.preprocess.settings import PreprocessSettings
from medtranslate.provenance import hash_file, hash_volume
from medtranslate.settings import validate_settings
from medtranslate.workflows.preprocess import RECORD_FILE
from medtranslate.workflows.progress import NoProgress, Progress

# A record is plain data from JSON.
_Record = Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """One comparison with the record.

    Attributes:
        case: Name of the case.
        what: ``settings``, ``versions``, or ``input``, ``output`` or ``file`` and a role.
        holds: Whether it still fits.
        detail: What differs, or could not be compared; empty if it holds.
    """

    case: str
    what: str
    holds: bool
    detail: str = ""


@dataclass(frozen=True)
class Verification:
    """Every comparison made for one folder."""

    folder: Path
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether all of them hold."""
        return all(check.holds for check in self.checks)


def verify_folder(folder: Path, *, progress: Progress | None = None) -> Verification:
    """Read every input again, prepare every case again, and compare with the record.

    Args:
        folder: Run folder, or what ``preprocess`` wrote; holds ``preprocessing.json``.
        progress: Told how far things are.

    Raises:
        ConfigError: If the record is absent, damaged or empty.
    """
    progress = progress or NoProgress()
    record = _read_record(folder / RECORD_FILE)
    settings = validate_settings(
        PreprocessSettings, record["settings"], where=str(folder / RECORD_FILE)
    )
    progress.stage("verify", len(record["cases"]))
    checks: list[Check] = []
    for number, (name, case) in enumerate(record["cases"].items()):
        progress.update(number, name)
        checks.extend(_check_case(folder, settings, name, case))
    progress.update(len(record["cases"]))
    return Verification(folder, tuple(checks))


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        cases = record["cases"]
        usable = isinstance(record["settings"], dict) and len(cases) > 0
        usable = usable and all({"inputs", "outputs", "settings"} <= set(c) for c in cases.values())
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; give a run folder or what 'medtranslate preprocess' wrote"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: damaged, cannot be compared with ({error!r})") from error
    if not usable:
        raise ConfigError(f"{path}: damaged, cannot be compared with; prepare the cases again")
    checked: dict[str, Any] = record
    return checked


def _check_case(
    folder: Path, settings: PreprocessSettings, name: str, case: _Record
) -> Iterator[Check]:
    yield _compare(name, "settings", case["settings"], hash_settings(settings))
    yield _check_versions(name, case.get("versions", {}))
    inputs = list(_check_inputs(name, case))
    yield from inputs
    if all(check.holds for check in inputs):
        yield from _check_outputs(settings, name, case)
    else:
        yield Check(name, "outputs", False, "not prepared again, because an input does not hold")
    yield from _check_written(folder, name, case)


def _compare(name: str, what: str, recorded: str, found: str) -> Check:
    if recorded == found:
        return Check(name, what, True)
    return Check(name, what, False, f"recorded {recorded[:12]}, found {found[:12]}")


def _check_versions(name: str, recorded: Mapping[str, str]) -> Check:
    found = used_versions()
    differing = [
        f"{library} {recorded.get(library, 'absent')}, now {found.get(library, 'absent')}"
        for library in sorted({*recorded, *found})
        if recorded.get(library) != found.get(library)
    ]
    return Check(name, "versions", not differing, "; ".join(differing))


def _check_inputs(name: str, case: _Record) -> Iterator[Check]:
    files = case.get("files", {})
    for role, recorded in case["inputs"].items():
        what = f"input {role}"
        if role not in files:
            yield Check(name, what, False, "the record does not say which file it was")
            continue
        path = Path(files[role])
        try:
            found = hash_file(path) if role == "transform" else _hash_scan(path)
        except (MedTranslateError, OSError) as error:
            yield Check(name, what, False, f"cannot be read: {error}")
        else:
            yield _compare(name, what, recorded, found)


def _check_outputs(settings: PreprocessSettings, name: str, case: _Record) -> Iterator[Check]:
    files = {role: Path(path) for role, path in case["files"].items()}
    try:
        found = prepare(settings, name=name, **files).fingerprint["outputs"]
    except MedTranslateError as error:
        yield Check(name, "outputs", False, f"cannot be prepared: {error}")
        return
    for role, recorded in case["outputs"].items():
        yield _compare(name, f"output {role}", recorded, found.get(role, "nothing"))


def _check_written(folder: Path, name: str, case: _Record) -> Iterator[Check]:
    for role, written in case.get("written", {}).items():
        path = folder / written["file"]
        found = hash_file(path) if path.is_file() else "nothing"
        yield _compare(name, f"file {role}", written["sha256"], found)


def _hash_scan(path: Path) -> str:
    volume = read_volume(path)
    return hash_volume(volume.voxels.astype("float32"), volume.geometry.affine)
