"""The model as a MONAI bundle whose ``run`` is the translation itself."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medtranslate import __version__
from medtranslate.io.atomic import write_json, write_text
from medtranslate.networks.generator import Generator
from medtranslate.networks.inputs import NUM_CHANNELS
from medtranslate.workflows.export.parts import LICENCE_NOTE, copy_card, copy_model
from medtranslate.workflows.model_card import DATA_KEY, SCORES_KEY, UNKNOWN
from medtranslate.workflows.prediction import Translator, load_translator

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
"""Where MONAI publishes the schema of ``metadata.json``."""

_MODALITIES = {"CT": "CT", "CBCT": "CT", "PET": "PET"}


def write_bundle(translator: Translator, folder: Path) -> Mapping[str, Any]:
    """Write ``configs/``, ``models/``, ``docs/`` and ``LICENSE``.

    The weights are safetensors, not the pickle ``model.pt`` that MONAI's specification names.
    """
    for name in ("configs", "models", "docs"):
        (folder / name).mkdir()
    copy_model(translator.model, folder / "models")
    copy_card(translator.model, folder / "docs" / "README.md")
    write_json(folder / "configs" / "metadata.json", _metadata(translator))
    write_json(folder / "configs" / "inference.json", _inference())
    write_text(folder / "LICENSE", LICENCE_NOTE)
    return {"config": "configs/inference.json", "metadata": "configs/metadata.json"}


def load_network(model: Path) -> Generator:
    """The network of a bundle, as its ``network_def`` wants it.

    Args:
        model: The bundle's ``models`` folder.

    Returns:
        Maps ``(n, 2, i, j, k)`` (normalised intensity, rank) to ``(n, 1, i, j, k)``.

    Raises:
        CheckpointError: If the model is not whole.
    """
    return load_translator(model).generator


def _inference() -> dict[str, Any]:
    """The configuration that MONAI runs: names of this package, and no weights of its own."""
    return {
        "imports": ["$import pathlib"],
        "bundle_root": ".",
        "dataset_dir": "scans",
        "output_dir": "synthetic",
        "model": "$pathlib.Path(@bundle_root) / 'models'",
        "network_def": {
            "_target_": "medtranslate.workflows.export.bundle.load_network",
            "model": "@model",
        },
        "translation": {
            "_target_": "medtranslate.workflows.translate.translate",
            "model": "@model",
            "sources": "$[pathlib.Path(@dataset_dir)]",
            "out": "$pathlib.Path(@output_dir)",
        },
        "run": ["$@translation"],
    }


def _metadata(translator: Translator) -> dict[str, Any]:
    pipeline, model = translator.pipeline, translator.model
    scores = model.provenance.get(SCORES_KEY, {})
    return {
        "schema": SCHEMA,
        "version": __version__,
        "changelog": {__version__: f"exported model {model.sha256[:12]}"},
        "monai_version": importlib.metadata.version("monai"),
        "pytorch_version": importlib.metadata.version("torch").split("+")[0],
        "numpy_version": importlib.metadata.version("numpy"),
        "required_packages_version": {"medtranslate": __version__},
        "name": pipeline.name,
        "task": f"Predict {pipeline.target} from {pipeline.source}",
        "description": pipeline.description or f"{pipeline.target} from {pipeline.source}",
        "authors": UNKNOWN,
        "copyright": UNKNOWN,
        "intended_use": "Research only; not a medical device. What it predicts was not acquired.",
        "data_source": _data_source(model.provenance.get(DATA_KEY, ())),
        "data_type": "nibabel",
        "eval_metrics": dict(scores.get("means", {})),
        "model_sha256": model.sha256,
        "network_data_format": _network_format(translator),
    }


def _data_source(data: Any) -> str:  # Any: what the model's provenance holds
    told = [f"{one['Name'] or one['dataset']} ({one['License'] or UNKNOWN})" for one in data]
    return "; ".join(told) or UNKNOWN


def _network_format(translator: Translator) -> dict[str, Any]:
    divisor = translator.pipeline.method.generator.divisor
    tensor = {
        "type": "image",
        "format": "magnitude",
        "spatial_shape": [f"{divisor}*n"] * 3,
        "dtype": "float32",
        "is_patch_data": False,
    }
    source = {
        "modality": _modality(translator.pipeline.source),
        "num_channels": NUM_CHANNELS,
        "value_range": [],
        "channel_def": {"0": "normalised intensity", "1": "rank inside the patient, 0 to 1"},
    }
    prediction = {
        "modality": _modality(translator.pipeline.target),
        "num_channels": 1,
        "value_range": [],
        "channel_def": {"0": f"{translator.pipeline.target} in its normalised unit"},
    }
    return {"inputs": {"image": tensor | source}, "outputs": {"pred": tensor | prediction}}


def _modality(contrast: str) -> str:
    return _MODALITIES.get(contrast.split("+")[0], "MR")
