"""Import: weights that another program saved, into a model folder like one that is there."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import Tensor

from medtranslate import __version__
from medtranslate.checkpoint import LoadedModel, save_model
from medtranslate.checkpoint.foreign import read_foreign_weights
from medtranslate.data.familiarity import RANGE_KEY
from medtranslate.errors import CheckpointError, ConfigError
from medtranslate.manifest import load_signing_key, sign_outputs
from medtranslate.provenance import describe_run, hash_file
from medtranslate.workflows.prediction import load_translator

IMPORT_KEY = "imported"
"""Key of a model's configuration that says its weights were not trained here."""

_LOGGER = logging.getLogger(__name__)


def import_weights(path: Path, *, like: Path, out: Path, pickles_allowed: bool) -> str:
    """Write a model folder with the weights of a foreign file.

    The file is never unpickled: tensors and plain data are read, anything else refuses it. What
    the network is and how scans are prepared comes from ``like``; who trained the weights is not
    known, so the model has neither split nor calibration and cannot be validated as if it had.

    Args:
        path: A ``.pt`` or ``.pth`` file.
        like: A run folder or its ``model/`` whose network has the same tensors.
        out: The model folder to write; must be absent or empty.
        pickles_allowed: Whether a file of this kind may be read at all.

    Returns:
        The sha256 that identifies the new model.

    Raises:
        ConfigError: If ``pickles_allowed`` is not set, or ``out`` holds something.
        CheckpointError: If a file holds anything but the weights of the network of ``like``.
        VolumeWriteError: If ``out`` cannot be written to.
    """
    if not pickles_allowed:
        raise ConfigError(
            f"{path}: files of this kind are pickles, which can run programs, and are not read."
            " With --allow-pickle its tensors alone are read; ask for safetensors where you can"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out}: holds something already; choose another folder")
    pattern = load_translator(like)
    _LOGGER.warning(
        "%s is a pickle: only its tensors are read, but nothing says who trained them and on whom",
        path.name,
    )
    weights = _fit(path, read_foreign_weights(path), pattern.generator.state_dict(), pattern.model)
    return _write(path, weights, pattern.model, out)


def _fit(
    path: Path, found: dict[str, Tensor], expected: dict[str, Tensor], model: LoadedModel
) -> dict[str, Tensor]:
    """The tensors in the types of the network, if they are exactly its own."""
    names = expected.keys() | found.keys()
    wrong = sorted(
        name
        for name in names
        if name not in found or name not in expected or found[name].shape != expected[name].shape
    )
    if wrong:
        raise CheckpointError(
            f"{path}: holds another network than {model.folder}: {len(wrong)} of {len(names)}"
            f" tensors differ, the first is {wrong[0]}. Give a model of the same network"
        )
    strange = [name for name, one in found.items() if not one.isfinite().all()]
    if strange:
        raise CheckpointError(f"{path}: {strange[0]} is NaN or infinite; the weights are unusable")
    return {name: one.to(expected[name].dtype) for name, one in found.items()}


def _write(path: Path, weights: dict[str, Tensor], like: LoadedModel, out: Path) -> str:
    origin = {"sha256": hash_file(path), "like": like.sha256}
    kept = {key: like.config[key] for key in ("pipeline", RANGE_KEY) if key in like.config}
    name = str(like.config["pipeline"]["name"])
    key = load_signing_key()
    sha256 = save_model(
        out,
        weights=weights,
        config={**kept, IMPORT_KEY: origin},
        scale=like.scale,
        provenance=describe_run("medtranslate import", **{IMPORT_KEY: origin}),
        card=_describe(name, origin),
    )
    record = describe_run("medtranslate import", model_sha256=sha256, pipeline=name)
    sign_outputs(out, since={}, record=record, key=key)
    return sha256


def _describe(name: str, origin: dict[str, str]) -> str:
    """Text of ``MODEL_CARD.md``."""
    return "\n".join(
        [
            f"# {name}, imported weights",
            "",
            "**Research use only; not a medical device.** What it predicts was not acquired.",
            "",
            f"The weights were imported by medtranslate {__version__} from a file with sha256"
            f" {origin['sha256']}. Who trained them, on whom, and how good they are is not known"
            " here: there is no split, no calibration and no score.",
            "",
            f"Network, preparation, intensity scale and the range of known scans are those of the"
            f" model {origin['like']}. Where the weights were trained with others, results are"
            " wrong without a warning. Score them on people of your own before any use.",
            "",
        ]
    )
