"""JSON documents that carry their own hash, and tensors from bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from medtranslate.errors import CheckpointError
from medtranslate.io.documents import read_document, read_regular
from medtranslate.io.scan import memory_bytes
from medtranslate.provenance import hash_json


def seal(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the hash of everything else in it under ``sha256``."""
    return document | {"sha256": hash_json(document)}


def read_sealed(path: Path, *, expected_format: str) -> dict[str, Any]:
    """Read a document that :func:`seal` made.

    Raises:
        CheckpointError: If the file is absent, not JSON, of another format, or altered.
    """
    document = read_json(path)
    if document.get("format") != expected_format:
        raise CheckpointError(
            f"{path}: format is {document.get('format')!r}, expected {expected_format!r};"
            " written by another program or another version of medtranslate"
        )
    recorded = document.pop("sha256", None)
    try:
        actual = hash_json(document)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: holds values that JSON does not have ({error})") from error
    if recorded != actual:
        raise CheckpointError(f"{path}: altered after it was written (sha256 differs)")
    return document | {"sha256": recorded}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: If the file is absent, leads out of its folder, or does not hold a JSON
            object.
    """
    _refuse_link(path)
    try:
        return read_document(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}); altered or cut off") from error


def read_bytes(path: Path) -> bytes:
    """Read a whole file, as long as this machine's memory holds it.

    Raises:
        CheckpointError: If it cannot be read, or leads out of its folder.
    """
    _refuse_link(path)
    try:
        return read_regular(path, largest=memory_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}. Copy the folder again") from error


def _refuse_link(path: Path) -> None:
    """A folder that came from elsewhere must not make us read what lies beside it."""
    if not path.resolve().is_relative_to(path.parent.resolve()):
        raise CheckpointError(
            f"{path}: is a link that leads out of its folder, so it is not read. Copy the folder"
            " with its contents (cp -rL)"
        )


def _unreadable(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(f"{path}: cannot be read ({error.strerror or error})")


def parse_tensors(raw: bytes, path: Path) -> dict[str, Tensor]:
    """Tensors by name from the bytes of a safetensors file; ``path`` names it in messages.

    Raises:
        CheckpointError: If the bytes are something else.
    """
    try:
        return safetensors.torch.load(raw)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error
