"""The model folder: all that prediction needs, portable and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from medtranslate.checkpoint.sealing import (
    parse_tensors,
    read_bytes,
    read_json,
    read_sealed,
    seal,
)
from medtranslate.errors import CheckpointError
from medtranslate.io.atomic import atomic_folder, write_bytes, write_json, write_text
from medtranslate.provenance import hash_bytes
from medtranslate.volume import IntensityScale

WEIGHTS_FILE = "weights.safetensors"
CONFIG_FILE = "config.json"
SCALE_FILE = "scale.json"
CARD_FILE = "MODEL_CARD.md"
PROVENANCE_FILE = "provenance.json"

MODEL_FORMAT = "medtranslate-model-1"


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model folder, read and checked.

    Attributes:
        weights: Tensors by name, on the CPU.
        config: What the training recorded: ``pipeline``, ``split`` and more, plain JSON data.
        scale: Typical scale of the target in the training cohort.
        provenance: How the model came to be, plain JSON data.
        sha256: Identifies weights, configuration and scale together.
        folder: Where the model lies.
    """

    weights: dict[str, Tensor]
    config: dict[str, Any]
    scale: IntensityScale
    provenance: dict[str, Any]
    sha256: str
    folder: Path


def need_same_model(model: LoadedModel, sha256: str) -> None:
    """Refuse a model that is another one than whoever sent the work has.

    Raises:
        CheckpointError: If it is.
    """
    if model.sha256 != sha256:
        raise CheckpointError(
            f"{model.folder}: the worker finds another model there than was asked for;"
            " do all machines see the same folder?"
        )


def save_model(
    folder: Path,
    *,
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    scale: IntensityScale,
    provenance: Mapping[str, Any],
    card: str,
) -> str:
    """Write a model folder; a model that was there is replaced once the new one is complete.

    Args:
        folder: The model folder, ``RUN/model``.
        weights: Tensors by name.
        config: Plain JSON data that prediction needs: the resolved pipeline and the split.
        scale: Typical scale of the target in the training cohort.
        provenance: Plain JSON data on how the model came to be.
        card: Text of ``MODEL_CARD.md``.

    Returns:
        The sha256 that identifies the model.

    Raises:
        VolumeWriteError: If the folder cannot be written to or the disk is full.
    """
    raw = safetensors.torch.save(_independent(weights))
    document = seal(
        {
            "format": MODEL_FORMAT,
            "weights_sha256": hash_bytes(raw),
            "scale": scale.to_json(),
            "config": dict(config),
        }
    )
    with atomic_folder(folder) as aside:
        write_bytes(aside / WEIGHTS_FILE, raw)
        write_json(aside / SCALE_FILE, scale.to_json())
        write_text(aside / CARD_FILE, card)
        write_json(aside / PROVENANCE_FILE, dict(provenance))
        write_json(aside / CONFIG_FILE, document)
        load_model(aside)
    return str(document["sha256"])


def find_model(path: Path) -> Path:
    """The model folder that ``path`` means: itself, or ``model/`` of a run folder.

    Raises:
        CheckpointError: If neither is there.
    """
    for folder in (path, path / "model"):
        if (folder / CONFIG_FILE).is_file():
            return folder
    if path.is_file():
        found = "it is a file, and models are folders; single weight files are never loaded"
    elif path.is_dir():
        found = f"neither it nor {path / 'model'} holds {CONFIG_FILE}"
    else:
        found = "there is no such folder"
    raise CheckpointError(f"{path}: not a model: {found}. Give a run folder or its model/ folder")


def load_model(path: Path) -> LoadedModel:
    """Read a model and check that it is complete and unaltered.

    Args:
        path: A run folder or its ``model/``.

    Raises:
        CheckpointError: If a file is absent, cut off, altered or of another format.
    """
    folder = find_model(path)
    document = read_sealed(folder / CONFIG_FILE, expected_format=MODEL_FORMAT)
    raw = read_bytes(folder / WEIGHTS_FILE)
    if hash_bytes(raw) != document.get("weights_sha256"):
        raise CheckpointError(
            f"{folder / WEIGHTS_FILE}: the weights are not those that {CONFIG_FILE} records"
            " (sha256 differs): altered, or copied incompletely. Copy the model folder again"
        )
    if read_json(folder / SCALE_FILE) != document.get("scale"):
        raise CheckpointError(
            f"{folder / SCALE_FILE}: not the scale that {CONFIG_FILE} records; the file was"
            " altered. Copy the model folder again"
        )
    try:
        scale = IntensityScale.from_json(document["scale"])
        config = dict(document["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG_FILE}: not a usable model: {error}") from error
    provenance = read_json(folder / PROVENANCE_FILE)
    weights = parse_tensors(raw, folder / WEIGHTS_FILE)
    return LoadedModel(weights, config, scale, provenance, str(document["sha256"]), folder)


def check_weights(model: LoadedModel, build: Callable[[], nn.Module]) -> None:
    """Refuse weights that are not those of a network, before any memory is taken for it.

    Args:
        model: The model.
        build: Builds the network that its configuration describes.

    Raises:
        CheckpointError: If a tensor is missing, or there is one that the network does not have, or
            has in another shape or type.
    """
    with torch.device("meta"):
        expected = {name: (one.shape, one.dtype) for name, one in build().state_dict().items()}
    found = {name: (one.shape, one.dtype) for name, one in model.weights.items()}
    names = expected.keys() | found.keys()
    wrong = sorted(name for name in names if expected.get(name) != found.get(name))
    if wrong:
        raise CheckpointError(
            f"{model.folder}: the weights do not fit the network of its pipeline: {len(wrong)}"
            f" tensors differ, the first is {wrong[0]}. Copy the model folder again"
        )


def _independent(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU that share no memory, as safetensors demands."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
