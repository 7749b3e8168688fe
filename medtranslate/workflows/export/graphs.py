"""The network as an ONNX or OpenVINO graph, checked against torch on the spot."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medtranslate.errors import CheckpointError
from medtranslate.inference.engines import LIMITS, Run, make_probe
from medtranslate.inference.graph import Graph, export_graph
from medtranslate.inference.onnx_graph import INPUT, OPSET, OUTPUT, run_onnx, write_onnx
from medtranslate.io.atomic import write_json
from medtranslate.networks.generator import Generator
from medtranslate.networks.inputs import NUM_CHANNELS
from medtranslate.provenance import software_versions
from medtranslate.workflows.export.parts import copy_card
from medtranslate.workflows.prediction import Translator

DESCRIPTION_FILE = "graph.json"
"""What goes in and comes out of a graph, and how far it is from the network."""

_TRACED, _CHECKED = (2, 3, 4), (4, 3, 2)
"""Blocks of the volume that is traced with, and of the one it is checked with: another shape."""


def write_onnx_graph(translator: Translator, folder: Path) -> Mapping[str, Any]:
    """Write ``model.onnx`` and what describes it.

    Raises:
        CheckpointError: If it does not compute what the network computes.
        MissingExtraError: If ONNX or ONNX Runtime is not installed.
    """
    path = folder / "model.onnx"
    divisor = translator.pipeline.method.generator.divisor
    write_onnx(translator.generator, make_probe(NUM_CHANNELS, divisor, _TRACED), path)
    check = _check(translator, lambda source: run_onnx(path, source))
    return _describe(translator, folder, check | {"opset": OPSET})


def write_openvino_graph(translator: Translator, folder: Path) -> Mapping[str, Any]:
    """Write ``model.xml`` and ``model.bin``, float32, and what describes them.

    Raises:
        CheckpointError: If they do not compute what the network computes.
        MissingExtraError: If OpenVINO is not installed.
    """
    divisor = translator.pipeline.method.generator.divisor
    example = make_probe(NUM_CHANNELS, divisor, _TRACED)
    with tempfile.TemporaryDirectory() as aside:
        graph = export_graph(translator.generator, example, Path(aside))
        for suffix in (".xml", ".bin"):
            shutil.copyfile(graph.with_suffix(suffix), folder / f"model{suffix}")
    check = _check(translator, Graph(folder / "model.xml", precision="fp32"))
    return _describe(translator, folder, check)


def compare_with_network(generator: Generator, run: Run, probe: Tensor) -> tuple[float, float]:
    """Largest difference of a graph from the network in float32, and the range of the prediction.

    Args:
        generator: In evaluation mode, on the CPU.
        run: The graph.
        probe: Shape ``(1, 2, i, j, k)``.
    """
    with torch.inference_mode():
        expected = generator(probe)
    found = run(probe)
    return float((found - expected).abs().max()), float(expected.max() - expected.min())


def _check(translator: Translator, run: Run) -> dict[str, Any]:
    divisor = translator.pipeline.method.generator.divisor
    probe = make_probe(NUM_CHANNELS, divisor, _CHECKED)
    difference, span = compare_with_network(translator.generator, run, probe)
    if not difference <= LIMITS["fp32"] * max(span, 1e-6):
        raise CheckpointError(
            f"{translator.model.folder}: the exported graph is off by {difference:.1e}, over a"
            f" prediction's range of {span:.1e} (limit {LIMITS['fp32']:.0e} of it); nothing was"
            " written. Use the model folder itself"
        )
    return {
        "max_difference": difference,
        "prediction_range": span,
        "limit": LIMITS["fp32"] * max(span, 1e-6),
        "checked_shape": list(probe.shape),
    }


def _describe(translator: Translator, folder: Path, check: Mapping[str, Any]) -> Mapping[str, Any]:
    pipeline = translator.pipeline
    sizes = [f"multiple of {pipeline.method.generator.divisor}"] * 3
    copy_card(translator.model, folder / "MODEL_CARD.md")
    write_json(
        folder / DESCRIPTION_FILE,
        {
            "format": "medtranslate-graph-1",
            "name": pipeline.name,
            "source": pipeline.source,
            "target": pipeline.target,
            "model_sha256": translator.model.sha256,
            "input": {
                "name": INPUT,
                "shape": [1, NUM_CHANNELS, *sizes],
                "dtype": "float32",
                "axes": "1 c i j k, the patient's right, front and top at high i, j and k",
                "channels": ["normalised intensity", "rank inside the patient, 0 to 1"],
            },
            "output": {
                "name": OUTPUT,
                "shape": [1, 1, *sizes],
                "dtype": "float32",
                "meaning": f"{pipeline.target} in the target's normalised unit",
            },
            "stored_scale": translator.model.scale.to_json(),
            "levelled_afterwards": pipeline.is_levelled,
            "preprocess": pipeline.preprocess.model_dump(mode="json"),
            "check": dict(check),
            "versions": software_versions(),
        },
    )
    return {"max_difference": check["max_difference"], "limit": check["limit"]}
