"""Nested state as plain JSON and a flat table of tensors, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medtranslate.errors import CheckpointError

_KINDS = ("tensor", "array", "float", "bytes", "tuple", "set", "items", "object")
_SIMPLE = (bool, int, str, type(None))


def encode_state(state: Mapping[str, Any]) -> tuple[Any, dict[str, Tensor]]:
    """Take the tensors out of a nested state.

    Args:
        state: Nested dictionaries, lists, tuples, sets and dataclasses of tensors, NumPy arrays,
            numbers, text, bytes, booleans and None.

    Returns:
        Plain JSON data in which ``{"tensor": name}`` stands for a tensor, and the tensors by
        name: on the CPU, contiguous, sharing no memory.

    Raises:
        TypeError: If the state holds anything else; the message says where.
    """
    tensors: dict[str, Tensor] = {}
    return _encode(state, tensors, "state"), tensors


def decode_state(
    skeleton: Any, tensors: Mapping[str, Tensor], *, kinds: Sequence[type] = ()
) -> Any:
    """The inverse of :func:`encode_state`.

    Args:
        skeleton: Plain JSON data.
        tensors: By name.
        kinds: The dataclasses that may be in it; no other is made.

    Raises:
        CheckpointError: If the data was not made by :func:`encode_state`, or of other classes.
    """
    try:
        return _decode(skeleton, tensors, {kind.__name__: kind for kind in kinds})
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
    if isinstance(value, tuple | set):
        parts = [_encode(part, tensors, f"{where}[{n}]") for n, part in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "set": parts}
    if is_dataclass(value) and not isinstance(value, type):
        values = {field.name: getattr(value, field.name) for field in fields(value)}
        return {"object": [type(value).__name__, _encode(values, tensors, where)]}
    if not isinstance(value, Mapping):
        raise TypeError(f"{where}: {type(value).__name__} cannot be saved")
    items = [
        [_encode(key, tensors, f"{where}, key"), _encode(part, tensors, f"{where}.{key}")]
        for key, part in value.items()
    ]
    # JSON has text keys only, and one that looks like a marker must not be taken for one.
    if all(isinstance(key, str) for key in value) and not set(value) & set(_KINDS):
        return dict(items)
    return {"items": items}


def _decode(data: Any, tensors: Mapping[str, Tensor], kinds: Mapping[str, type]) -> Any:
    if isinstance(data, list):
        return [_decode(part, tensors, kinds) for part in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1 or next(iter(data)) not in _KINDS:
        return {key: _decode(part, tensors, kinds) for key, part in data.items()}
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
    parts = _decode(content, tensors, kinds)
    if kind == "object":
        name, values = parts
        return kinds[name](**values)
    return {"tuple": tuple, "set": set, "items": dict}[kind](parts)
