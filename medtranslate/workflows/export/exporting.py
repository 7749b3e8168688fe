"""Export a model: a checked model folder in, a folder in the form of another program out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medtranslate.errors import ConfigError
from medtranslate.io.atomic import atomic_folder
from medtranslate.workflows.export.bundle import write_bundle
from medtranslate.workflows.export.graphs import write_onnx_graph, write_openvino_graph
from medtranslate.workflows.export.hub import write_hub_folder
from medtranslate.workflows.prediction import Translator, load_translator

Writer = Callable[[Translator, Path], Mapping[str, Any]]

FORMS: dict[str, Writer] = {
    "monai-bundle": write_bundle,
    "onnx": write_onnx_graph,
    "openvino": write_openvino_graph,
    "huggingface": write_hub_folder,
}
"""What each form writes into an empty folder, and the plain data it tells."""


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        form: Key of :data:`FORMS`.
        folder: Where it lies.
        model_sha256: Identifies the model.
        told: What the form tells, such as the difference of a graph from the network.
    """

    form: str
    folder: Path
    model_sha256: str
    told: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "form": self.form,
            "folder": str(self.folder),
            "model_sha256": self.model_sha256,
            "files": sorted(
                path.relative_to(self.folder).as_posix()
                for path in self.folder.rglob("*")
                if path.is_file()
            ),
            "told": dict(self.told),
        }


def export_model(model: Path, form: str, out: Path) -> Export:
    """Write a model in the form of another program.

    Args:
        model: Run folder or its ``model/``.
        form: Key of :data:`FORMS`.
        out: Folder to write; must be absent or empty.

    Raises:
        CheckpointError: If the model cannot be used, or a graph does not compute what it does.
        ConfigError: If the form is unknown, the model simulates progression, or ``out`` holds
            something.
        MissingExtraError: If the form needs a package that is not installed.
        VolumeWriteError: If the folder cannot be written.
    """
    if form not in FORMS:
        raise ConfigError(f"--to {form}: unknown; the forms are {', '.join(FORMS)}")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ConfigError(f"--out {out}: holds something already; choose a new or empty folder")
    translator = load_translator(model)
    translator.generator.cpu()
    with atomic_folder(out) as folder:
        told = FORMS[form](translator, folder)
    return Export(form, out, translator.model.sha256, told)
