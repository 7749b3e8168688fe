"""What a training costs on this machine: seconds an update, and memory, before it starts."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from medtranslate.errors import MemoryShortageError
from medtranslate.inference.memory import free_bytes, is_out_of_memory
from medtranslate.methods.base import AbstractMethod, Batch, Trainable
from medtranslate.pipeline import (
    Pipeline,
    build_generator,
    build_method,
    build_progression,
    build_progression_network,
)
from medtranslate.workflows.device import ALONE, make_fabric, send_batch
from medtranslate.workflows.processes import Processes
from medtranslate.workflows.product_rate import count_operations, measure_product_rate, wait_for

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MEASURED_AT = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Parts of the training at which an update is timed: an adversary that enters late costs late."""

_BYTES_A_WEIGHT = 5 * 4
"""Weight, gradient, two moments and running average, in float32."""

_SHARE_BEYOND_KEPT = 2.0
_SHARE_BEYOND_KEPT_IN_PROGRESSION = 2.6
"""Peak of an update over what it keeps for the backward pass; measured on the CPU: 0.9 to 1.9, and
1.4 to 2.5 where what is predicted is warped."""

_NUM_ROUNDS = 2
"""How often each update is timed; the faster time counts, for others use the machine too."""

_MOST_BYTES_A_CHANNEL = 400
"""More than any generator takes for each voxel of a batch and each channel of its first level."""

_LESS = "lower train.patch_size, train.batch_size or method.generator.channels"

_SMALL_EDGE = 32
"""Of the smaller cube that the memory is estimated with; every network takes its multiples."""


@dataclass(frozen=True)
class TrainingCost:
    """What one update costs.

    Attributes:
        seconds: Mean over the course of the training, of updates that nothing held up.
        num_bytes: Peak memory beside the prepared scans, estimated.
        share_of_rate: Its operations a second over those of matrix products, measured too.
    """

    seconds: float
    num_bytes: int
    share_of_rate: float


def measure_training(pipeline: Pipeline) -> TrainingCost:
    """Time a few updates of an untrained model on random patches of the pipeline's size.

    Raises:
        ConfigError: If the pipeline follows visits.
        MemoryShortageError: If an update does not fit the memory.
    """
    pipeline.need_translation()
    fabric = make_fabric(pipeline)
    num_bytes = estimate_training_memory(pipeline, fabric)
    _refuse_beyond(num_bytes, pipeline, fabric)
    seconds = time_updates(pipeline, fabric)
    share = count_update(pipeline, fabric) / seconds / measure_product_rate(fabric)
    return TrainingCost(seconds, num_bytes, share)


def time_updates(pipeline: Pipeline, fabric: Fabric, mode: str | None = None) -> float:
    """Mean seconds of an update over the course of a training, of an untrained method.

    What else the machine does in between is left out as far as it can be: each update is timed more
    than once, with a round of the others between, and its shortest time counts.

    Args:
        pipeline: What is trained, on random patches of its size.
        fabric: On which device.
        mode: Of ``torch.compile``; as it comes if None.
    """
    method = _build_translation(pipeline, fabric)
    if mode is not None:
        method.compile(mode)
    batch = _draw_batch(pipeline.training.batch_size, pipeline.training.patch_size, fabric)
    method.update(batch, progress=MEASURED_AT[-1])
    rounds = [
        [_time(partial(method.update, batch, progress=part), fabric.device) for part in MEASURED_AT]
        for _ in range(_NUM_ROUNDS)
    ]
    shortest: list[float] = [min(times) for times in zip(*rounds, strict=True)]
    return sum(shortest) / len(shortest)


def count_update(pipeline: Pipeline, fabric: Fabric) -> float:
    """Mean operations of an update over the course of a training; they grow with the voxels."""
    method, edge = _build_translation(pipeline, fabric), _edges(pipeline)[0]
    batch = _draw_batch(1, (edge,) * 3, fabric)
    counts = [
        count_operations(partial(method.update, batch, progress=part)) for part in MEASURED_AT
    ]
    return sum(counts) / len(counts) * _count_voxels(pipeline) / edge**3


def need_training_memory(pipeline: Pipeline, fabric: Fabric, processes: Processes = ALONE) -> None:
    """Refuse a training whose updates would not fit the memory; measured where it may be so.

    Of several processes one measures, by itself, for what they take on its machine. Where they
    share the weights out nothing is measured: one alone could not hold them.

    Args:
        pipeline: What is trained.
        fabric: On which device.
        processes: Who trains together.

    Raises:
        MemoryShortageError: If they would not.
    """
    if pipeline.is_sharded:
        return
    sharing = processes.count_here if fabric.device.type == "cpu" else 1
    if _may_be_short(pipeline, free_bytes(fabric.device) // sharing):
        alone = fabric if processes.count == 1 else make_fabric(pipeline)
        needed = sharing * estimate_training_memory(pipeline, alone)
        _refuse_beyond(needed, pipeline, fabric)


def _may_be_short(pipeline: Pipeline, free: int) -> bool:
    """Whether it is worth a measurement."""
    if pipeline.is_progression:  # It warps its patches too, whatever its channels are.
        return True
    surely_enough = _MOST_BYTES_A_CHANNEL * pipeline.generator_settings.channels
    return surely_enough * _count_voxels(pipeline) > free


@contextmanager
def telling_shortage(pipeline: Pipeline) -> Iterator[None]:
    """Tell memory that runs out in a training as what it is.

    Raises:
        MemoryShortageError: If it did.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryShortageError(
            f"the memory ran out in training ({_describe_patches(pipeline)}). End what else is"
            f" running, and go on with --resume; or {_LESS}, and train into a new folder"
        ) from error


def _refuse_beyond(needed: int, pipeline: Pipeline, fabric: Fabric) -> None:
    free = free_bytes(fabric.device)
    if needed > free:
        raise MemoryShortageError(
            f"training needs about {needed:,} bytes of memory beside the scans"
            f" ({_describe_patches(pipeline)}), and {free:,} bytes are free. {_LESS.capitalize()},"
            " or end what else is running"
        )


def _describe_patches(pipeline: Pipeline) -> str:
    size = "x".join(map(str, pipeline.training.patch_size))
    return f"patches of {size} voxels, {pipeline.training.batch_size} in a batch"


def estimate_training_memory(pipeline: Pipeline, fabric: Fabric) -> int:
    """Peak memory of an update in bytes: what it keeps for the backward pass, and the weights.

    What is kept grows linearly with the voxels; two small patches give the line.
    """
    method = _build(pipeline, fabric)
    edges = _edges(pipeline)
    small, large = (
        _count_kept(method, _draw_training_batch(pipeline, (edge,) * 3, fabric)) for edge in edges
    )
    a_voxel = (large - small) / (edges[1] ** 3 - edges[0] ** 3)
    kept = small + a_voxel * (_count_voxels(pipeline) - edges[0] ** 3)
    num_weights = sum(weight.numel() for weight in method.generator.parameters())
    share = _SHARE_BEYOND_KEPT_IN_PROGRESSION if pipeline.is_progression else _SHARE_BEYOND_KEPT
    return int(share * max(kept, small) + _BYTES_A_WEIGHT * num_weights)


def _edges(pipeline: Pipeline) -> list[int]:
    """Of two small cubes that the network takes."""
    divisor = pipeline.method.generator.divisor
    return [-(-edge // divisor) * divisor for edge in (_SMALL_EDGE, _SMALL_EDGE + 16)]


def _count_voxels(pipeline: Pipeline) -> int:
    return pipeline.training.batch_size * math.prod(pipeline.training.patch_size)


def _count_kept(method: Trainable, batch: Batch) -> int:
    """Most bytes that an update of one cube keeps at a time."""
    tally = _Tally()
    with torch.autograd.graph.saved_tensors_hooks(tally.keep, lambda kept: kept.tensor):
        method.update(batch, progress=MEASURED_AT[-1])
    return tally.most


class _Tally:
    """Counts the bytes that are kept for backward passes, each storage once."""

    def __init__(self) -> None:
        self.most = 0
        self._now = 0
        self._holders: Counter[int] = Counter()

    def keep(self, tensor: Tensor) -> _Kept:
        return _Kept(tensor, self)

    def add(self, storage: torch.UntypedStorage, change: Literal[1, -1]) -> None:
        place = storage.data_ptr()
        if self._holders[place] == (0 if change > 0 else 1):
            self._now += change * storage.nbytes()
        self._holders[place] += change
        self.most = max(self.most, self._now)


class _Kept:
    """A tensor that a backward pass needs; counted as long as it lives."""

    def __init__(self, tensor: Tensor, tally: _Tally) -> None:
        self.tensor, self._tally = tensor, tally
        tally.add(tensor.untyped_storage(), 1)

    def __del__(self) -> None:
        self._tally.add(self.tensor.untyped_storage(), -1)


def _build(pipeline: Pipeline, fabric: Fabric) -> Trainable:
    """An untrained method; the state of the random numbers is left as it was."""
    if not pipeline.is_progression:
        return _build_translation(pipeline, fabric)
    with torch.random.fork_rng():
        network = build_progression_network(pipeline, num_conditions=_count_conditions(pipeline))
        return build_progression(pipeline, network, fabric)


def _build_translation(pipeline: Pipeline, fabric: Fabric) -> AbstractMethod:
    with torch.random.fork_rng():
        return build_method(pipeline, build_generator(pipeline), fabric)


def _count_conditions(pipeline: Pipeline) -> int:
    """About; categories count for more, which is some weights of many."""
    return len(pipeline.visits.covariates) if pipeline.visits else 0


def _draw_training_batch(pipeline: Pipeline, size: tuple[int, int, int], fabric: Fabric) -> Batch:
    """One random patch, with all that the pipeline's method needs of it."""
    batch = _draw_batch(1, size, fabric)
    if pipeline.visits is None:
        return batch
    batch |= {"years": torch.ones(1), "condition": torch.zeros(1, _count_conditions(pipeline))}
    batch["inside"] = batch["mask"]
    if pipeline.visits.labels is not None:
        names = ["label", *(f"label-{name}" for name in pipeline.preprocess.further_regions)]
        names += [name.replace("label", "later", 1) for name in names]
        names += ["nearness"] * pipeline.grows_region
        batch |= {name: batch["target"].clone() for name in names}
    return send_batch(fabric, batch)


def _draw_batch(number: int, size: tuple[int, int, int], fabric: Fabric) -> Batch:
    generator = torch.Generator().manual_seed(0)
    shape = number, 1, *size
    source = torch.rand((number, 2, *size), generator=generator)
    batch = {"source": source, "target": source[:, :1].sqrt(), "mask": torch.ones(shape)}
    return send_batch(fabric, batch)


def _time(update: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    update()
    wait_for(device)
    return time.perf_counter() - began
