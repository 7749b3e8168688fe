"""Read text and JSON that somebody else may have written: bounded in size, depth and patience."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

LARGEST_DOCUMENT_BYTES = 1 << 25
"""No sidecar, manifest or table of ours comes near 32 MiB."""


def read_regular(path: Path, *, largest: int = LARGEST_DOCUMENT_BYTES) -> bytes:
    """The bytes of a regular file; a pipe or a device could be read for ever.

    Args:
        path: The file.
        largest: Most bytes accepted.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no regular file, or holds more than ``largest`` bytes.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is not a regular file")
    if status.st_size > largest:
        raise ValueError(f"holds more than {largest:,} bytes")
    with path.open("rb") as file:
        return file.read(status.st_size)


def read_text(path: Path, *, largest: int = LARGEST_DOCUMENT_BYTES) -> str:
    """The text of a file in UTF-8, with or without a byte order mark, lines ended alike.

    Raises:
        OSError: As :func:`read_regular`.
        ValueError: As :func:`read_regular`, and if it is not UTF-8.
    """
    text = read_regular(path, largest=largest).decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_document(path: Path) -> dict[str, Any]:  # Any: whatever JSON can hold
    """The JSON object of a file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is too large, not UTF-8, not JSON, nested too deep, or no object; if a
            key is repeated, as readers differ in which one counts; or if a number is not finite.
    """
    return parse_document(read_regular(path))


def parse_document(data: bytes | str) -> dict[str, Any]:  # Any: as above
    """The JSON object of bytes in UTF-8. Raises ``ValueError`` as :func:`read_document`.

    Example:
        >>> parse_document(b'{"EchoTime": 0.09}')
        {'EchoTime': 0.09}
    """
    try:
        found = json.loads(
            data,
            object_pairs_hook=_refuse_repeats,
            parse_constant=_refuse_constant,
            parse_float=_parse_finite,
        )
    except RecursionError:
        raise ValueError("is nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError(f"holds {type(found).__name__}, expected an object")
    return found


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"{key} is given twice; keep one")
            seen.add(key)
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"holds {name}, which is not JSON")


def _parse_finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("holds a number that is too large")
    return value
