"""Where a model is trained and predicts, and in which precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from medtranslate.errors import ConfigError
from medtranslate.inference.processor import Processor, choose_device
from medtranslate.methods.base import Batch
from medtranslate.methods.sharding import shard
from medtranslate.pipeline import Pipeline
from medtranslate.workflows.processes import Processes

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.strategy import Strategy

ALONE = Processes()
"""One process, as without ``torchrun``."""


def choose_processor(pipeline: Pipeline) -> Processor:
    """Device and precision for a trained model; as :func:`make_fabric` chooses for one process."""
    return Processor(choose_device(), bf16=choose_precision(pipeline).name == "bf16-mixed")


def make_fabric(pipeline: Pipeline, processes: Processes = ALONE) -> Fabric:
    """Device and precision; bf16 autocast where the processor computes in it.

    Several processes are joined, and average their gradients.
    """
    from lightning_fabric import Fabric

    precision = choose_precision(pipeline).name
    if processes.count == 1:
        return Fabric(accelerator="auto", devices=1, precision=precision)
    fabric = Fabric(
        accelerator="auto",
        devices=processes.count_here,
        num_nodes=processes.num_machines,
        strategy=_join(pipeline, processes),
        precision=precision,
    )
    fabric.launch()
    return fabric


@dataclass(frozen=True)
class Precision:
    """A number format, and why this one.

    Attributes:
        name: As Lightning Fabric calls it.
        why: For the person who waits.
    """

    name: Literal["bf16-mixed", "32-true"]
    why: str

    def __str__(self) -> str:
        return f"{'bf16' if self.name == 'bf16-mixed' else 'float32'}: {self.why}"


def choose_precision(pipeline: Pipeline) -> Precision:
    """The number format that training computes in on this machine."""
    wanted = "auto" if pipeline.train is None else pipeline.train.precision
    if wanted != "auto":
        return Precision(wanted, "asked for")
    if torch.cuda.is_available():
        fast, what = torch.cuda.is_bf16_supported(), "GPU"
    else:
        fast, what = torch.cpu._is_avx512_bf16_supported(), "processor"
    if not fast:
        return Precision("32-true", f"the {what} does not compute in bf16")
    if what == "processor" and pipeline.is_thin:
        first = pipeline.training.patch_size[0]
        why = f"bf16 gradients are wrong for patches of {first} voxels along the first axis"
        return Precision("32-true", why)
    return Precision("bf16-mixed", f"the {what} computes in it")


def check_precision(pipeline: Pipeline) -> None:
    """Refuse a precision that is asked for and in which this machine cannot train.

    Raises:
        ConfigError: If a processor would train in bf16 on patches for which that is wrong.
    """
    asked = pipeline.train is not None and pipeline.train.precision == "bf16-mixed"
    if asked and pipeline.is_thin and not torch.cuda.is_available():
        first, least = pipeline.training.patch_size[0], 3 * pipeline.method.generator.divisor
        raise ConfigError(
            f"train.precision: bf16-mixed gives wrong gradients on a processor if the first of"
            f" train.patch_size is {first}: the coarsest features are two voxels or fewer. Make it"
            f" at least {least}, or leave train.precision at auto"
        )


def _join(pipeline: Pipeline, processes: Processes) -> Strategy:
    """How several processes train one network: each holds all of it, or a part."""
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    # What the processes agree on as programs goes by gloo, so that none waits for its GPU.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if not pipeline.is_sharded:
        return DDPStrategy(process_group_backend=backend)
    return ModelParallelStrategy(
        shard,
        data_parallel_size=processes.count,
        tensor_parallel_size=1,
        process_group_backend=backend,
    )


def send_batch(fabric: Fabric, batch: Batch) -> Batch:
    """A batch on the device of ``fabric``; a GPU copies it while it computes.

    The tensors are plain: MONAI's own are views of what a layer gives, and a layer that is shared
    out would not learn that its weights are needed again in the backward pass.
    """
    device = fabric.device
    batch = {key: tensor.as_subclass(torch.Tensor) for key, tensor in batch.items()}
    if device.type == "cuda":
        batch = {
            key: tensor if tensor.is_cuda else tensor.pin_memory() for key, tensor in batch.items()
        }
    return {key: tensor.to(device, non_blocking=True) for key, tensor in batch.items()}


def agree_on_most(fabric: Fabric, values: Sequence[float]) -> list[float]:
    """The largest of each value over the processes that train together."""
    if fabric.world_size == 1:
        return list(values)
    most = torch.tensor(values, dtype=torch.float64)
    torch.distributed.all_reduce(most, op=torch.distributed.ReduceOp.MAX)
    return most.tolist()


def steps_between_reads(fabric: Fabric) -> int:
    """After how many steps the program waits to learn what became of them."""
    return 1 if fabric.device.type == "cpu" else 10
