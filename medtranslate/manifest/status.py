"""What became of each case of a long job: one small signed file a case, complete or absent.

A call that is killed writes no manifest. The next one keeps what these files list if it is as they
list it, and covers it by its own manifest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue

from medtranslate.errors import ConfigError
from medtranslate.io.atomic import write_json
from medtranslate.io.documents import read_document
from medtranslate.manifest.files import FileName, FileRecord, describe_written
from medtranslate.manifest.keys import is_signed, load_signing_key, sign_content
from medtranslate.provenance import hash_file
from medtranslate.settings import Settings, validate_settings

STATUS_FOLDER = "status"
"""Folder of the status files, in the folder that a job writes."""


class _Status(Settings):
    """What a status file holds; its file names are relative to the folder that the job writes."""

    case: str
    state: Literal["done", "failed"]
    why: str = ""
    record: dict[str, JsonValue] = Field(default_factory=dict)
    files: dict[FileName, FileRecord] = Field(default_factory=dict)
    public_key: str
    signature: str


def write_done(
    out: Path, case: str, record: Mapping[str, Any], *, files: Iterable[Path] = ()
) -> None:
    """Write that a case is done.

    Args:
        out: The folder that the job writes.
        case: Its name.
        record: What a later call needs to know of it, plain JSON data.
        files: What we have just written of it, in ``out``.

    Raises:
        ConfigError: If there is no key to sign with.
        VolumeWriteError: If the folder cannot be written to.
    """
    written = {
        path.relative_to(out).as_posix(): describe_written(path).model_dump(mode="json")
        for path in files
    }
    _write(out, {"case": case, "state": "done", "record": dict(record), "files": written})


def write_failed(out: Path, case: str, why: str) -> None:
    """Write that a case failed, and why. Raises as :func:`write_done`."""
    _write(out, {"case": case, "state": "failed", "why": why})


def read_done(out: Path, case: str) -> dict[str, Any] | None:
    """The record of a case that is done; None if it is not, or a file of it is not as written."""
    status = _read(_path(out, case))
    if status is None or status.state != "done":
        return None
    for name, written in status.files.items():
        if not (out / name).is_file() or hash_file(out / name) != written.sha256:
            return None
    return status.record


def read_files(path: Path) -> Mapping[str, FileRecord] | None:
    """The files that a status file lists; None if it is none, or its signature does not hold."""
    status = _read(path)
    return None if status is None else status.files


def _read(path: Path) -> _Status | None:
    try:
        data = read_document(path)
        status = validate_settings(_Status, data, where=str(path))
    except (OSError, ValueError, ConfigError):
        return None
    return status if is_signed(data) else None


def _write(out: Path, content: Mapping[str, Any]) -> None:
    path = _path(out, str(content["case"]))
    write_json(path, sign_content(load_signing_key(), content))


def _path(out: Path, case: str) -> Path:
    return out / STATUS_FOLDER / f"{re.sub(r'[^A-Za-z0-9_.-]', '-', case)}.json"
