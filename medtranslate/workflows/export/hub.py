"""The model as a folder for the Hugging Face Hub, made offline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medtranslate.io.atomic import write_text
from medtranslate.settings import format_yaml
from medtranslate.workflows.export.parts import copy_card, copy_model
from medtranslate.workflows.model_card import SCORES_KEY
from medtranslate.workflows.prediction import Translator

CARD = "README.md"


def write_hub_folder(translator: Translator, folder: Path) -> Mapping[str, Any]:
    """Write the model's files and ``README.md``: the card below the header that the Hub reads.

    ``medtranslate translate`` takes the folder as it takes a model folder.
    """
    copy_model(translator.model, folder)
    copy_card(translator.model, folder / CARD)
    card = (folder / CARD).read_text(encoding="utf-8")
    write_text(folder / CARD, f"---\n{format_yaml(_header(translator))}---\n\n{card}")
    return {"card": CARD}


def _header(translator: Translator) -> dict[str, Any]:
    pipeline = translator.pipeline
    header = {
        "library_name": "medtranslate",
        "pipeline_tag": "image-to-image",
        "license": "unknown",
        "tags": ["medical", "synthetic", "3d", pipeline.source, pipeline.target, "not-for-clinic"],
    }
    scores = translator.model.provenance.get(SCORES_KEY)
    return header if scores is None else header | {"model-index": [_index(translator, scores)]}


def _index(translator: Translator, scores: Mapping[str, Any]) -> dict[str, Any]:
    pipeline = translator.pipeline
    dataset = ", ".join(translator.model.provenance["datasets"])
    return {
        "name": pipeline.name,
        "results": [
            {
                "task": {"type": "image-to-image"},
                "dataset": {"name": f"{dataset}, people held out", "type": "not-published"},
                "metrics": [
                    {"type": name, "value": value} for name, value in scores["means"].items()
                ],
            }
        ],
    }
