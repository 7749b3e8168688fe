"""Whether torch compiles the generator for a training, measured before it starts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from medtranslate.pipeline import Pipeline
from medtranslate.workflows.training_cost import time_updates

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_LOGGER = logging.getLogger(__name__)

MODES = ("default", "reduce-overhead")
"""Of ``torch.compile``: fused operations; those, replayed as a CUDA graph."""

_LEAST_SECONDS = 600.0
_LEAST_STEPS = 5_000
"""A shorter training is over before a minute or two of compiling has paid."""

_LEAST_GAIN = 0.05


def choose_compilation(
    pipeline: Pipeline,
    fabric: Fabric,
    *,
    measure: Callable[[Pipeline, Fabric, str | None], float] = time_updates,
) -> str | None:
    """The mode of ``torch.compile`` in which updates are fastest; None if it is not worth it.

    Only on a GPU: on processors compiled steps were slower, and their compiling took a minute.

    Args:
        pipeline: What is trained.
        fabric: On which device.
        measure: Seconds of an update in a mode, of an untrained method of its own.
    """
    if fabric.device.type == "cpu" or fabric.world_size > 1:  # Several would have to agree.
        return None
    if pipeline.training.compile == "never" or _is_short(pipeline):
        return None
    seconds: dict[str | None, float] = {None: measure(pipeline, fabric, None)}
    for mode in MODES:
        try:
            seconds[mode] = measure(pipeline, fabric, mode)
        except RuntimeError as error:  # what torch's compiler raises
            _LOGGER.warning("torch.compile in mode %s is left out: %s", mode, error)
    best = min(seconds, key=lambda mode: seconds[mode])
    return best if seconds[best] < (1 - _LEAST_GAIN) * seconds[None] else None


def _is_short(pipeline: Pipeline) -> bool:
    train = pipeline.training
    if train.num_steps is not None:
        return train.num_steps < _LEAST_STEPS
    return (train.budget_seconds or 0.0) < _LEAST_SECONDS
