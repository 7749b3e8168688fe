"""What became of each case of a long job: one small file a case, complete or absent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medtranslate.io.atomic import write_json
from medtranslate.io.documents import read_document

STATUS_FOLDER = "status"
"""Folder of the status files, in the folder that a job writes."""


def write_done(out: Path, case: str, record: Mapping[str, Any]) -> None:
    """Write that a case is done, and what a later call needs to know of it.

    Raises:
        VolumeWriteError: If the folder cannot be written to.
    """
    write_json(_path(out, case), {"case": case, "state": "done", "record": dict(record)})


def write_failed(out: Path, case: str, why: str) -> None:
    """Write that a case failed, and why. Raises as :func:`write_done`."""
    write_json(_path(out, case), {"case": case, "state": "failed", "why": why})


def read_done(out: Path, case: str) -> dict[str, Any] | None:
    """The record of a case that is done; None if it is not."""
    try:
        data = read_document(_path(out, case))
        record = data["record"] if data["state"] == "done" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if isinstance(record, dict) else None


def _path(out: Path, case: str) -> Path:
    return out / STATUS_FOLDER / f"{re.sub(r'[^A-Za-z0-9_.-]', '-', case)}.json"
