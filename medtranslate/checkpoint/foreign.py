"""Weights that another program saved with torch, read without running what is in the file."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medtranslate.errors import CheckpointError
from medtranslate.io.scan import memory_bytes
from medtranslate.io.stream import check_file

_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "generator")
"""Under which of these others keep the weights beside the state of a training."""

_PREFIXES = ("module.", "_orig_mod.")
"""What torch puts before names in several processes, and when it compiles."""

_TYPES = (
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
)  # fmt: skip
"""What a weight or a counter is made of; what is left out would lose something on the way."""

_DAMAGE = (
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    torch.serialization.pickle.UnpicklingError,  # type: ignore[attr-defined]  # no stub names it
    zipfile.BadZipFile,
)
"""What torch raises on files that hold something else than tensors."""


def read_foreign_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a ``.pt`` or ``.pth`` file.

    Such files are pickles. They are read with ``weights_only=True``: torch then builds tensors and
    plain containers, and refuses everything else without running it.

    Args:
        path: Saved by ``torch.save``: names to tensors, alone or under ``state_dict``, ``model`` or
            the like.

    Returns:
        Tensors on the CPU; ``module.`` and ``_orig_mod.`` are taken off their names.

    Raises:
        VolumeReadError: If the file is absent, empty or not a regular one.
        CheckpointError: If it holds anything but tensors and plain data, unpacks to more than its
            own size or this machine's memory, or holds no weights.
    """
    _check_size(path)
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)  # Any: checked below
    except _DAMAGE as error:
        raise CheckpointError(
            f"{path}: is not a file of weights alone, so it was not loaded"
            f" ({type(error).__name__}). Save its state_dict() with torch.save, or better with"
            " safetensors, where you trust it"
        ) from error
    return _find_tensors(path, found)


def _check_size(path: Path) -> None:
    size = unpacked = check_file(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError(f"{path}: is damaged ({error}). Fetch it again") from error
    if unpacked > min(2 * size, memory_bytes()):
        raise CheckpointError(
            f"{path}: would unpack to {unpacked:,} bytes, more than torch writes into"
            f" {size:,} or this machine's memory holds. It was not loaded"
        )


def _find_tensors(path: Path, found: object) -> dict[str, Tensor]:
    wrapped = [found[key] for key in _WRAPPERS if key in found] if isinstance(found, dict) else []
    for candidate in (*wrapped, found):
        if isinstance(candidate, Mapping) and candidate and _is_weights(candidate):
            return {_plain_name(name): one.detach() for name, one in candidate.items()}
    raise CheckpointError(
        f"{path}: holds no weights: expected names with a plain tensor of numbers each, alone or"
        f" under one of {', '.join(_WRAPPERS)}"
    )


def _is_weights(candidate: Mapping[Any, Any]) -> bool:
    return all(isinstance(k, str) and _is_plain(v) for k, v in candidate.items())


def _is_plain(value: object) -> bool:
    """Whether a value is numbers in memory: not thinned out, shifted, nested, or a shape alone."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_nested
        and value.dtype in _TYPES
    )


def _plain_name(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name
