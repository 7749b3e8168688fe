"""What the training of one kind of model consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from medtranslate.data.patches import PatchSampler
from medtranslate.methods.base import Trainable
from medtranslate.workflows.training_loop import Validate


def _leave(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The best weights are the final ones."""
    return weights


@dataclass(frozen=True)
class TrainingTask:
    """The parts that the training loop puts together.

    Attributes:
        method: Learns.
        sampler: What it learns from.
        validate: Scores the averaged weights.
        describe: What the model folder records beside pipeline and people, from the final weights.
        finish: Makes the final weights of the best ones.
    """

    method: Trainable
    sampler: PatchSampler
    validate: Validate
    describe: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    finish: Callable[[dict[str, Tensor]], dict[str, Tensor]] = _leave
