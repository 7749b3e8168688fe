"""Fit a training to this machine: patch and network as large as its time budget allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medtranslate.errors import ConfigError, MemoryShortageError
from medtranslate.pipeline import Pipeline, pipeline_from_json, read_pipeline
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.training_cost import TrainingCost, measure_training

SMALLEST_PATCH = 32
"""Edge below which patches are not made smaller."""

SMALLEST_CHANNELS = 8
"""Feature channels below which the network is not made smaller."""

_SHARE_FOR_UPDATES = 0.9
"""The rest of a time budget goes into validations and saving."""


@dataclass(frozen=True)
class Sizing:
    """A training as this machine will do it.

    Attributes:
        pipeline: With the sizes that fit.
        cost: Of one update, measured.
        wanted: The pipeline as it was given.
    """

    pipeline: Pipeline
    cost: TrainingCost
    wanted: Pipeline

    @property
    def num_steps(self) -> int:
        """Updates that will be made, about; or exactly, if the pipeline says how many."""
        train = self.pipeline.training
        if train.num_steps is not None:
            return train.num_steps
        return _count_steps(train.budget_seconds or 0.0, self.cost)

    def describe(self) -> str:
        """One line: what is trained, how fast, how long, in how much memory."""
        train, size = self.pipeline.training, self.pipeline.generator_settings
        reduced = "" if self.pipeline == self.wanted else f"; asked for {_sizes(self.wanted)}"
        about = "" if train.num_steps else "about "
        seconds = train.budget_seconds or self.num_steps * self.cost.seconds
        device = "the GPU" if torch.cuda.is_available() else f"{torch.get_num_threads()} cores"
        return (
            f"{_sizes(self.pipeline)}{reduced}; {size.dimensions}, {train.batch_size} a batch:"
            f" {self.cost.seconds:.3g} s an update on {device}"
            f" ({self.cost.share_of_rate:.0%} of its rate of matrix products), {about}"
            f"{self.num_steps:,} updates in {seconds / 60:.3g} min,"
            f" {self.cost.num_bytes / 1e9:.2g} GB beside the scans"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "patch_size": list(self.pipeline.training.patch_size),
            "channels": self.pipeline.generator_settings.channels,
            "seconds_per_step": self.cost.seconds,
            "num_steps": self.num_steps,
            "memory_bytes": self.cost.num_bytes,
            "share_of_product_rate": self.cost.share_of_rate,
            "reduced": self.pipeline != self.wanted,
        }


def fit_to_machine(
    pipeline: Pipeline,
    *,
    run: Path | None = None,
    measure: Callable[[Pipeline], TrainingCost] = measure_training,
    progress: Progress | None = None,
) -> Sizing:
    """Measure a few updates, and make patch and network smaller until ``train.min_steps`` fit.

    Args:
        pipeline: Its sizes are the largest that are tried; without ``train.min_steps`` they stay.
        run: Run folder that is gone on with: the sizes it was started with are kept.
        measure: Measures what one update costs.
        progress: Told that measuring begins and ends.

    Raises:
        ConfigError: If not even the smallest sizes allow ``train.min_steps`` updates.
        MemoryShortageError: If not even they fit the memory.
    """
    progress = progress or NoProgress()
    progress.stage("measure this machine", 1)
    started = None if run is None else _read_started(pipeline, run / "pipeline.yaml")
    if started is not None:
        chosen = Sizing(started, measure(started), pipeline)
    else:
        chosen = _choose(pipeline, measure)
    progress.update(1)
    return chosen


def _choose(pipeline: Pipeline, measure: Callable[[Pipeline], TrainingCost]) -> Sizing:
    wanted, budget = pipeline.training.min_steps, pipeline.training.budget_seconds
    if wanted is None or budget is None:
        return Sizing(pipeline, measure(pipeline), pipeline)
    most_work, problem = math.inf, "nothing was tried"
    candidates = list(list_smaller(pipeline))
    for candidate in candidates:
        if _work(candidate) > most_work and candidate is not candidates[-1]:
            continue
        try:
            cost = measure(candidate)
        except MemoryShortageError as error:
            problem = str(error)
            continue
        possible = _count_steps(budget, cost)
        if possible >= wanted:
            return Sizing(candidate, cost, pipeline)
        problem = f"at {cost.seconds:.3g} s an update it allows {possible:,}"
        # What is left to try must be smaller by what is missing; a tenth is for what is not work.
        most_work = 1.1 * _work(candidate) * possible / wanted
    raise ConfigError(
        f"train.time_budget: {pipeline.training.time_budget} is too short on this machine for"
        f" train.min_steps: {wanted:,}: even with {_sizes(candidate)} {problem}. Give more"
        " time, or lower min_steps"
    )


def list_smaller(pipeline: Pipeline) -> Iterator[Pipeline]:
    """The pipeline, then its patch made smaller again and again, each time a little.

    Then its network with half the channels, down to the smallest; last the smallest network
    with the smallest patch.
    """
    yield pipeline
    divisor = pipeline.method.generator.divisor
    smallest = -(-SMALLEST_PATCH // divisor) * divisor
    patch, channels = list(pipeline.training.patch_size), pipeline.generator_settings.channels
    while channels // 2 >= SMALLEST_CHANNELS or max(patch) > smallest:
        if max(patch) > (smallest if channels // 2 < SMALLEST_CHANNELS else 2 * smallest):
            longest = patch.index(max(patch))
            patch[longest] = max(patch[longest] - divisor, smallest)
        else:
            channels = channels // 2 // 8 * 8
        yield with_sizes(pipeline, patch, channels)


def with_sizes(pipeline: Pipeline, patch: list[int], channels: int) -> Pipeline:
    """The pipeline with another patch and another number of channels."""
    data = pipeline.model_dump(mode="json")
    data["train"]["patch_size"] = patch
    data["method"]["generator"]["channels"] = channels
    return pipeline_from_json(data, where=pipeline.name)


def _read_started(pipeline: Pipeline, recorded: Path) -> Pipeline | None:
    """What a run was started with, if it is this pipeline but for what was chosen."""
    if pipeline.training.min_steps is None or not recorded.is_file():
        return None
    started = read_pipeline(recorded)
    patch, channels = list(started.training.patch_size), started.generator_settings.channels
    return started if with_sizes(pipeline, patch, channels) == started else None


def _count_steps(budget: float, cost: TrainingCost) -> int:
    return int(_SHARE_FOR_UPDATES * budget / cost.seconds)


def _work(pipeline: Pipeline) -> int:
    """What an update costs, about, in no unit."""
    return math.prod(pipeline.training.patch_size) * pipeline.generator_settings.channels


def _sizes(pipeline: Pipeline) -> str:
    patch = "x".join(map(str, pipeline.training.patch_size))
    return f"patches of {patch} voxels, {pipeline.generator_settings.channels} channels"
