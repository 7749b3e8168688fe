"""What computes a prediction: torch, or an exported graph that was checked against it."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from medtranslate.inference.graph import Graph, export_graph, graph_folder, has_openvino
from medtranslate.inference.settings import InferenceSettings

Run = Callable[[Tensor], Tensor]

WORTH_EXPORTING = 1_000_000
"""Voxels of a volume from which ``auto`` exports: an export takes seconds, and is done once."""

LIMITS = {"fp32": 1e-3, "bf16": 1e-2}
"""Largest difference from torch in float32, as a share of the range of its prediction."""


@dataclass(frozen=True, eq=False)
class Engine:
    """A way of computing the prediction.

    Attributes:
        name: Library that computes.
        precision: Number format of the convolutions.
        run: Maps ``(n, c, i, j, k)`` to the same spatial shape.
        why: Why this one, for the person who waits.
        difference: Largest difference from torch in float32 on a test volume, as a share of the
            prediction's range; None for torch itself.
        exact_start: Whether the first convolution computes in fp32 though the others do not.
    """

    name: Literal["torch", "openvino"]
    precision: Literal["bf16", "fp32"]
    run: Run
    why: str
    difference: float | None = None
    exact_start: bool = False

    def to_json(self) -> dict[str, object]:
        """Plain data for a sidecar."""
        found = {} if self.difference is None else {"MaxDifference": self.difference}
        start = {"FirstConvolution": "fp32"} if self.exact_start else {}
        return {"Engine": self.name, "Precision": self.precision, **start, **found}


class Engines:
    """The engines of one network: chosen by size and settings, built when first needed."""

    def __init__(
        self,
        convolve: Run,
        exported: Callable[[], nn.Module],
        predict_with: Callable[[Run, Tensor], Tensor],
        *,
        num_channels: int,
        num_exported_channels: int,
        divisor: int,
        autocast: Callable[[], AbstractContextManager[object]],
        folder: Path | None = None,
        num_threads: int | None = None,
    ) -> None:
        """Take the part of a network that is worth exporting, and what is around it.

        Args:
            convolve: That part, computed by torch.
            exported: Makes the same part in the form to export; called when first needed.
            predict_with: The prediction, given a way to compute that part, and the source.
            num_channels: Of the source.
            num_exported_channels: Of what the exported part takes.
            divisor: The network accepts multiples of this along every axis.
            autocast: The precision that training chose, in which torch computes by itself.
            folder: Where graphs are kept; the user's cache folder if None.
            num_threads: Cores that a graph computes with; all if None.
        """
        self._predict = partial(predict_with, convolve)
        self._exported = exported
        self._predict_with = predict_with
        self._channels = num_channels, num_exported_channels
        self._divisor = divisor
        self._autocast = autocast
        self._folder = folder
        self._num_threads = num_threads
        self._graphs: dict[str, Engine] = {}

    def choose(
        self, shape: tuple[int, int, int], device: torch.device, *, settings: InferenceSettings
    ) -> Engine:
        """The engine for a volume.

        Args:
            shape: Voxels along ``(i, j, k)``.
            device: Where the network is.
            settings: Wanted engine and precision.

        Raises:
            MissingExtraError: If OpenVINO was asked for and is not installed.
        """
        wanted, precision = settings.engine, settings.precision
        reason = _why_not_to_export(wanted, shape, device)
        if reason is not None:
            return self._run_torch(precision, reason)
        if precision not in self._graphs:
            self._graphs[precision] = self._export(precision)
        return self._graphs[precision]

    def _run_torch(self, wanted: str, why: str) -> Engine:
        def in_precision(device: str) -> AbstractContextManager[object]:
            return self._autocast() if wanted == "auto" else _autocast(device, wanted == "bf16")

        def run(source: Tensor) -> Tensor:
            with in_precision(source.device.type):
                return self._predict(source)

        with in_precision("cpu"):
            is_bf16 = torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")
        return Engine("torch", "bf16" if is_bf16 else "fp32", run, why)

    def _export(self, wanted: str) -> Engine:
        example = make_probe(self._channels[1], self._divisor, (2, 3, 4))
        try:
            path = export_graph(self._exported(), example, self._folder or graph_folder())
            return self._compute_by(path, wanted)
        except (RuntimeError, OSError) as error:
            told = str(error).strip().splitlines()[0][:120]
            return self._run_torch(wanted, f"the network could not be exported ({told})")

    def _compute_by(self, path: Path, wanted: str) -> Engine:
        """The fastest form of a graph that is close enough to torch in float32, else torch."""
        misses: list[str] = []
        for form in _forms_to_try(wanted):
            graph = Graph(
                path,
                precision=form.precision,
                exact_start=form.exact_start,
                num_threads=self._num_threads,
            )
            run = partial(self._predict_with, graph)
            difference, limit = self._compare(run), LIMITS[form.precision]
            if difference < limit:
                told = f"largest difference from torch {difference:.0e} of the range"
                why = f"{told} ({form}; {'; '.join(misses)})" if misses else told
                return Engine("openvino", form.precision, run, why, difference, form.exact_start)
            misses.append(f"{form} is off by {difference:.1e}, limit {limit:.0e}")
        return self._run_torch(
            wanted, f"the exported graph differs from torch (of the range: {'; '.join(misses)})"
        )

    def _compare(self, run: Run) -> float:
        """Largest difference from float32, on a volume of another shape than the example's."""
        probe = make_probe(self._channels[0], self._divisor, (4, 3, 2))
        with torch.inference_mode(), _autocast("cpu", False):
            expected = self._predict(probe)
            found = run(probe)
        span = float(expected.max() - expected.min())
        return float((found - expected).abs().max()) / max(span, 1e-6)


@dataclass(frozen=True)
class _Form:
    """A way of computing an exported graph."""

    precision: Literal["bf16", "fp32"]
    exact_start: bool = False

    def __str__(self) -> str:
        return self.precision + (" with the first convolution in fp32" if self.exact_start else "")


def _forms_to_try(wanted: str) -> tuple[_Form, ...]:
    """From the fastest to the most exact."""
    fast = _Form("bf16"), _Form("bf16", exact_start=True)
    if wanted == "bf16":
        return fast
    if wanted == "auto" and torch.cpu._is_avx512_bf16_supported():
        return *fast, _Form("fp32")
    return (_Form("fp32"),)


def make_probe(num_channels: int, divisor: int, blocks: tuple[int, int, int]) -> Tensor:
    """A smooth random volume from 0 to 1, always the same, of ``blocks`` by ``divisor`` voxels."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((1, num_channels, *(2 * n for n in blocks)), generator=generator)
    shape = [divisor * n for n in blocks]
    return functional.interpolate(coarse, shape, mode="trilinear", align_corners=True)


def _why_not_to_export(
    wanted: str, shape: tuple[int, int, int], device: torch.device
) -> str | None:
    if wanted == "torch":
        return "asked for"
    if device.type != "cpu":
        return f"the network is on {device.type}, and OpenVINO computes on the CPU"
    if wanted == "auto" and not has_openvino():
        return "OpenVINO is not installed (pip install 'medtranslate[openvino]')"
    if wanted == "auto" and math.prod(shape) < WORTH_EXPORTING:
        return "the volume is too small to be worth an export"
    return None


def _autocast(device: str, enabled: bool) -> AbstractContextManager[object]:
    return torch.autocast(device, torch.bfloat16, enabled=enabled)
