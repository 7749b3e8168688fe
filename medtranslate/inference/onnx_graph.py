"""A network as an ONNX file, and what ONNX Runtime computes with it."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from medtranslate.errors import MissingExtraError

OPSET = 18
"""Version of ONNX's operators that is written."""

INPUT, OUTPUT = "source", "prediction"
"""Names of the graph's tensors."""

_AXES = {2: "i", 3: "j", 4: "k"}


def write_onnx(network: nn.Module, example: Tensor, path: Path) -> None:
    """Write a network as one ONNX file that takes one volume of any size.

    It is traced: the other exporter of torch takes ten times as long, needs two packages more and
    splits the weights off. What tracing takes as constant shows when the file is run at another
    shape.

    Args:
        network: Maps one float32 tensor ``(1, c, i, j, k)`` to one; in evaluation mode, on the CPU.
        example: What it is traced with.
        path: The file to write.

    Raises:
        MissingExtraError: If ONNX is not installed.
        RuntimeError: If ONNX cannot express the network.
    """
    _need("onnx")
    try:
        with torch.inference_mode(mode=False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the older exporter is meant
            torch.onnx.export(
                network,
                (example.clone(),),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: _AXES, OUTPUT: _AXES},
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise RuntimeError(f"ONNX cannot express the network: {error}") from error


def run_onnx(path: Path, source: Tensor) -> Tensor:
    """What ONNX Runtime computes on the CPU, float32.

    Raises:
        MissingExtraError: If ONNX Runtime is not installed.
    """
    _need("onnxruntime")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([OUTPUT], {INPUT: source.numpy()})[0])


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(package, "onnx")
