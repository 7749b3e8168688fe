"""Read a JSON file that somebody else may have written: bounded in size and depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LARGEST_DOCUMENT_BYTES = 1 << 26
"""No sidecar, manifest or table of ours comes near 64 MiB."""


def read_document(path: Path) -> dict[str, Any]:  # Any: whatever JSON can hold
    """The JSON object of a file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is too large, not UTF-8, not JSON, nested too deep, or no object.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST_DOCUMENT_BYTES + 1)
    if len(data) > LARGEST_DOCUMENT_BYTES:
        raise ValueError(f"holds more than {LARGEST_DOCUMENT_BYTES:,} bytes")
    try:
        found = json.loads(data)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError(f"holds {type(found).__name__}, expected an object")
    return found
