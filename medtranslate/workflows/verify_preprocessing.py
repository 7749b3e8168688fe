"""Recompute what ``preprocessing.json`` records, and say which fingerprints still hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medtranslate.errors import ConfigError, MedTranslateError
from medtranslate.io.documents import read_document
from medtranslate.preprocess.preparation import hash_settings, prepare, used_versions
from medtranslate.preprocess.settings import PreprocessSettings
from medtranslate.provenance import hash_file
from medtranslate.settings import validate_settings
from medtranslate.workflows.checks import Check, compare_hashes
from medtranslate.workflows.preprocess import RECORD_FILE
from medtranslate.workflows.progress import NoProgress, Progress

# A record is plain data from JSON.
_Record = Mapping[str, Any]


def check_preprocessing(
    folder: Path, inputs: Mapping[str, Path] | None, *, progress: Progress | None = None
) -> tuple[Check, ...]:
    """Compare with the record, and prepare every case again if its inputs are given.

    Args:
        folder: Run folder, or what ``preprocess`` wrote; holds ``preprocessing.json``.
        inputs: Files by fingerprint, from :func:`find_inputs`; None to leave inputs and what is
            prepared from them alone.
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
        checks.append(compare_hashes(name, "settings", case["settings"], hash_settings(settings)))
        checks.append(_check_versions(name, case.get("versions", {})))
        if inputs is not None:
            checks.extend(_check_prepared(settings, name, case, inputs))
        checks.extend(_check_written(folder, name, case))
    progress.update(len(record["cases"]))
    return tuple(checks)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = read_document(path)
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
    return record


def _check_prepared(
    settings: PreprocessSettings, name: str, case: _Record, inputs: Mapping[str, Path]
) -> Iterator[Check]:
    files = {role: inputs[sha] for role, sha in case["inputs"].items() if sha in inputs}
    for role, sha in case["inputs"].items():
        absent = f"no file with this content ({sha[:12]}): absent or altered"
        yield Check(name, f"input {role}", role in files, "" if role in files else absent)
    if len(files) == len(case["inputs"]):
        yield from _check_outputs(settings, name, case, files)
    else:
        yield Check(name, "outputs", False, "not prepared again, because an input does not hold")


def _check_versions(name: str, recorded: Mapping[str, str]) -> Check:
    found = used_versions()
    differing = [
        f"{library} {recorded.get(library, 'absent')}, now {found.get(library, 'absent')}"
        for library in sorted({*recorded, *found})
        if recorded.get(library) != found.get(library)
    ]
    return Check(name, "versions", not differing, "; ".join(differing))


def _check_outputs(
    settings: PreprocessSettings, name: str, case: _Record, files: Mapping[str, Path]
) -> Iterator[Check]:
    try:
        found = prepare(settings, name=name, **files).fingerprint["outputs"]
    except MedTranslateError as error:
        yield Check(name, "outputs", False, f"cannot be prepared: {error}")
        return
    for role, recorded in case["outputs"].items():
        yield compare_hashes(name, f"output {role}", recorded, found.get(role, "nothing"))


def _check_written(folder: Path, name: str, case: _Record) -> Iterator[Check]:
    for role, written in case.get("written", {}).items():
        path = folder / written["file"]
        found = hash_file(path) if path.is_file() else "nothing"
        yield compare_hashes(name, f"file {role}", written["sha256"], found)
