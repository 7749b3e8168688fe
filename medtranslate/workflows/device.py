"""Where a model is trained and predicts, and in which precision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning_fabric import Fabric

from medtranslate.methods.base import Batch
from medtranslate.pipeline import Pipeline
from medtranslate.workflows.processes import Processes

ALONE = Processes()
"""One process, as without ``torchrun``."""


def make_fabric(pipeline: Pipeline, processes: Processes = ALONE) -> Fabric:
    """Device and precision; bf16 autocast where the processor computes in it.

    Several processes are joined, and average their gradients.
    """
    precision = "auto" if pipeline.train is None else pipeline.train.precision
    if precision == "auto":
        if torch.cuda.is_available():
            fast = torch.cuda.is_bf16_supported()
        else:
            fast = torch.cpu._is_avx512_bf16_supported()
        precision = "bf16-mixed" if fast else "32-true"
    if processes.count == 1:
        return Fabric(accelerator="auto", devices=1, precision=precision)
    fabric = Fabric(
        accelerator="auto",
        devices=processes.count_here,
        num_nodes=processes.num_machines,
        strategy="ddp",
        precision=precision,
    )
    fabric.launch()
    return fabric


def send_batch(fabric: Fabric, batch: Batch) -> Batch:
    """A batch on the device of ``fabric``; a GPU copies it while it computes."""
    device = fabric.device
    if device.type == "cuda":
        batch = {key: tensor.pin_memory() for key, tensor in batch.items()}
    return {key: tensor.to(device, non_blocking=True) for key, tensor in batch.items()}


def agree_on_most(fabric: Fabric, values: Sequence[float]) -> list[float]:
    """The largest of each value over the processes that train together."""
    if fabric.world_size == 1:
        return list(values)
    told = torch.tensor(values, dtype=torch.float64, device=fabric.device)
    most = fabric.all_reduce(told, reduce_op="max")
    return [float(value) for value in most]
