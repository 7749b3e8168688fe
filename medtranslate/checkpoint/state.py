"""A training's nested state as plain JSON and a flat table of tensors, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medtranslate.errors import CheckpointError

_KINDS = ("tensor", "array", "float", "bytes", "tuple", "items")
_SIMPLE = (bool, int, str, type(None))


def encode_state(state: Mapping[str, Any]) -> tuple[Any, dict[str, Tensor]]:
    """Take the tensors out of a nested state.

    Args:
        state: Nested dictionaries (keys text or integers), lists and tuples of tensors, NumPy
            arrays, numbers, text, bytes, booleans and None.

    Returns:
        Plain JSON data in which ``{"tensor": name}`` stands for a tensor, and the tensors by
        name: on the CPU, contiguous, sharing no memory.

    Raises:
        TypeError: If the state holds anything else; the message says where.
    """
    tensors: dict[str, Tensor] = {}
    return _encode(state, tensors, "state"), tensors


def decode_state(skeleton: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of :func:`encode_state`.

    Raises:
        CheckpointError: If the data was not made by :func:`encode_state`.
    """
    try:
        return _decode(skeleton, tensors)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"the state of a checkpoint is not readable: {error!r}") from error


def _encode(value: Any, tensors: dict[str, Tensor], where: str) -> Any:
    if isinstance(value, Tensor):
        name = f"{len(tensors):06d}"
        tensors[name] = value.detach().as_subclass(Tensor).cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError(f"{where}: an array of Python objects cannot be saved")
        name = f"{len(tensors):06d}"
        raw = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        tensors[name] = torch.from_numpy(raw.copy())
        return {"array": [name, value.dtype.str, list(value.shape)]}
    if isinstance(value, np.generic):
        return _encode(value.item(), tensors, where)
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, _SIMPLE):
        return value
    return _encode_container(value, tensors, where)


def _encode_container(value: Any, tensors: dict[str, Tensor], where: str) -> Any:
    if isinstance(value, list):
        return [_encode(part, tensors, f"{where}[{n}]") for n, part in enumerate(value)]
    if isinstance(value, tuple):
        parts = [_encode(part, tensors, f"{where}[{n}]") for n, part in enumerate(value)]
        return {"tuple": parts}
    if not isinstance(value, Mapping):
        raise TypeError(f"{where}: {type(value).__name__} cannot be saved in a checkpoint")
    for key in value:
        if not isinstance(key, str | int) or isinstance(key, bool):
            raise TypeError(f"{where}: key {key!r} is neither text nor a whole number")
    items = [[key, _encode(part, tensors, f"{where}.{key}")] for key, part in value.items()]
    # JSON has text keys only, and one that looks like a marker must not be taken for one.
    if all(isinstance(key, str) for key in value) and not set(value) & set(_KINDS):
        return dict(items)
    return {"items": items}


def _decode(data: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(data, list):
        return [_decode(part, tensors) for part in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1 or next(iter(data)) not in _KINDS:
        return {key: _decode(part, tensors) for key, part in data.items()}
    ((kind, content),) = data.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "array":
        name, dtype, shape = content
        return np.frombuffer(tensors[name].numpy().tobytes(), np.dtype(dtype)).reshape(shape).copy()
    if kind == "float":
        return float(content)
    if kind == "bytes":
        return bytes.fromhex(content)
    if kind == "tuple":
        return tuple(_decode(part, tensors) for part in content)
    return {key: _decode(part, tensors) for key, part in content}
