"""A network as an OpenVINO graph: exported once, kept under the hash of what it computes."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from medtranslate.errors import MissingExtraError
from medtranslate.inference.graph_start import mark_start
from medtranslate.io.atomic import write_json
from medtranslate.io.documents import read_document
from medtranslate.provenance import hash_bytes, hash_file, hash_json

if TYPE_CHECKING:
    import openvino

_NAME = "graph.xml"
_EXPORTING = threading.Lock()


def has_openvino() -> bool:
    """Whether the extra ``openvino`` is installed."""
    return importlib.util.find_spec("openvino") is not None


def graph_folder() -> Path:
    """Where exported graphs are kept: the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "medtranslate" / "graphs"


class Graph:
    """An exported network that is compiled for the shape it is given."""

    def __init__(
        self,
        path: Path,
        *,
        precision: str,
        exact_start: bool = False,
        num_threads: int | None = None,
    ) -> None:
        """Read the graph.

        Args:
            path: File that :func:`export_graph` gave.
            precision: ``bf16`` or ``fp32``.
            exact_start: Whether the first convolution computes in fp32 in any case.
            num_threads: Cores to compute with; all if None.
        """
        import openvino

        self._core = openvino.Core()
        self._model = self._core.read_model(path)
        if exact_start:
            weights = path.with_suffix(".bin").read_bytes()
            self._model = self._core.read_model(mark_start(self._model, path), weights)
        self._channels_last = not exact_start  # what changes the layout would round to bf16
        if self._channels_last:
            self._model = _with_channels_last(self._model)
        self._options = {
            "INFERENCE_PRECISION_HINT": {"bf16": "bf16", "fp32": "f32"}[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": num_threads or 0,
            "ENABLE_CPU_PINNING": False,  # or graphs that compute side by side share one core
        }
        self._shape: tuple[int, ...] = ()
        self._turn = threading.Lock()

    def __call__(self, inputs: Tensor) -> Tensor:
        """Compute ``(n, c, i, j, k)``, without a copy if its memory is channels-last.

        A new shape costs a compilation, which is kept until the next one. Threads take turns.
        """
        laid = (inputs.movedim(1, -1) if self._channels_last else inputs).float().contiguous()
        with self._turn:
            if laid.shape != self._shape:
                self._model.reshape(list(laid.shape))
                self._compiled = self._core.compile_model(self._model, "CPU", self._options)
                self._shape = tuple(laid.shape)
            return torch.from_numpy(self._compiled(laid.numpy())[0])


def _with_channels_last(model: openvino.Model) -> openvino.Model:
    """The graph for ``(n, i, j, k, c)``, as the processor computes; else it would copy first."""
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    steps.input().tensor().set_layout("NDHWC")
    steps.input().model().set_layout("NCDHW")
    return steps.build()


def export_graph(network: nn.Module, example: Tensor, folder: Path) -> Path:
    """Export a network, or find it exported already.

    Args:
        network: Maps one float32 tensor to one; in evaluation mode, on the CPU.
        example: What it is traced with; the graph takes any size along every axis.
        folder: Of all graphs, such as :func:`graph_folder`.

    Returns:
        The graph's file, complete and unaltered.

    Raises:
        MissingExtraError: If OpenVINO is not installed.
        RuntimeError: If OpenVINO cannot express the network.
    """
    if not has_openvino():
        raise MissingExtraError("openvino", "openvino")
    with _EXPORTING:  # Who comes second finds what the first has made.
        return _find_or_export(network, example, folder)


def _find_or_export(network: nn.Module, example: Tensor, folder: Path) -> Path:
    import openvino.frontend

    entry = folder / _hash_network(network, f"{openvino.__version__} {torch.__version__}")
    if _is_whole(entry):
        return entry / _NAME
    folder.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".", suffix=".partial", dir=folder))
    try:
        with torch.inference_mode(mode=False), torch.no_grad(), warnings.catch_warnings():
            # OpenVINO traces; that sizes are taken as constants would show in the check.
            warnings.simplefilter("ignore")
            model = openvino.convert_model(network, example_input=example)
        openvino.save_model(model, aside / _NAME, compress_to_fp16=False)
        files = sorted(path for path in aside.iterdir())
        write_json(aside / "files.json", {path.name: hash_file(path) for path in files})
        shutil.rmtree(entry, ignore_errors=True)
        aside.rename(entry)
    except openvino.frontend.OpConversionFailure as error:
        raise RuntimeError(f"OpenVINO cannot express the network: {error}") from error
    except OSError:
        if not _is_whole(entry):  # not even by another process in the meantime
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return entry / _NAME


def _is_whole(entry: Path) -> bool:
    try:
        recorded = read_document(entry / "files.json")
        return all(hash_file(entry / name) == digest for name, digest in recorded.items())
    except (OSError, ValueError, AttributeError):
        return False


def _hash_network(network: nn.Module, versions: str) -> str:
    """Of structure, weights and the libraries that export and compute."""
    tensors = {
        name: hash_bytes(tensor.detach().cpu().contiguous().numpy().tobytes())
        for name, tensor in network.state_dict().items()
    }
    return hash_json({"structure": repr(network), "weights": tensors, "versions": versions})
