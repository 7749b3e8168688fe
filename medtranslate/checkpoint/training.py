"""Checkpoints of a training in progress, so that no interruption loses it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch

from medtranslate.checkpoint.sealing import parse_tensors, read_bytes, read_sealed, seal
from medtranslate.checkpoint.state import decode_state, encode_state
from medtranslate.errors import CheckpointError
from medtranslate.io.atomic import write_bytes, write_json
from medtranslate.provenance import hash_bytes

CHECKPOINT_FORMAT = "medtranslate-checkpoint-1"

_KEPT_CHECKPOINTS = 2
_NAME = re.compile(r"^step-(\d{9,})\.json$")


def save_checkpoint(folder: Path, step: int, state: Mapping[str, Any]) -> None:
    """Save the state of a training.

    The tensors are written first and the JSON that names their hash last: a checkpoint without
    valid JSON does not exist. The two newest are kept, and the older goes only after the newer
    was read back.

    Args:
        folder: The ``checkpoints/`` folder of the run.
        step: Updates done so far.
        state: Nested dictionaries, lists and tuples of tensors, NumPy arrays, numbers, text,
            bytes, booleans and None.

    Raises:
        TypeError: If the state holds anything else.
        CheckpointError: If what was written does not read back.
        VolumeWriteError: If the folder cannot be written to or the disk is full.
    """
    skeleton, tensors = encode_state(state)
    raw = safetensors.torch.save(tensors)
    path = folder / f"step-{step:09d}.json"
    # A half-replaced pair must not look complete.
    path.unlink(missing_ok=True)
    write_bytes(path.with_suffix(".safetensors"), raw)
    document = {
        "format": CHECKPOINT_FORMAT,
        "step": step,
        "tensors_sha256": hash_bytes(raw),
        "state": skeleton,
    }
    write_json(path, seal(document))
    _load(path)
    _remove_old(folder, newest=step)


def load_newest_checkpoint(
    folder: Path, *, tell: Callable[[str], None] | None = None
) -> tuple[int, dict[str, Any]] | None:
    """The newest checkpoint that is complete and unaltered.

    Args:
        folder: The ``checkpoints/`` folder of the run; may be absent.
        tell: Told of each newer one that is not.

    Returns:
        Step and state, or None if nothing was saved yet.

    Raises:
        CheckpointError: If there are checkpoints and none of them is whole.
    """
    problems = []
    for _, path in reversed(_list(folder)):
        try:
            found = _load(path)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        if tell is not None:
            for problem in problems:
                tell(f"{problem}; the checkpoint before it is used")
        return found
    if problems:
        raise CheckpointError(
            "no checkpoint can be used:\n  " + "\n  ".join(problems) + "\nTrain into a new folder"
        )
    return None


def _list(folder: Path) -> list[tuple[int, Path]]:
    """Checkpoints by step, oldest first."""
    if not folder.is_dir():
        return []
    matches = ((_NAME.match(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def _load(path: Path) -> tuple[int, dict[str, Any]]:
    document = read_sealed(path, expected_format=CHECKPOINT_FORMAT)
    tensors_path = path.with_suffix(".safetensors")
    raw = read_bytes(tensors_path)
    if hash_bytes(raw) != document.get("tensors_sha256"):
        raise CheckpointError(f"{tensors_path}: altered or incomplete (sha256 differs)")
    state = decode_state(document.get("state"), parse_tensors(raw, tensors_path))
    step = document.get("step")
    if not isinstance(step, int) or not isinstance(state, dict):
        raise CheckpointError(f"{path}: not a training checkpoint")
    return step, state


def _remove_old(folder: Path, *, newest: int) -> None:
    """Keep the newest of those up to ``newest``; later ones belong to a training started over."""
    checkpoints = _list(folder)
    kept = [step for step, _ in checkpoints if step <= newest][-_KEPT_CHECKPOINTS:]
    for step, path in checkpoints:
        if step not in kept:
            path.unlink(missing_ok=True)
            path.with_suffix(".safetensors").unlink(missing_ok=True)
