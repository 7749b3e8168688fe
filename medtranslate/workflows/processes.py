"""The processes that train one model together, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from medtranslate.errors import ConfigError
from medtranslate.pipeline import Pipeline


@dataclass(frozen=True)
class Processes:
    """Who trains together.

    Attributes:
        rank: Number of this process; the first alone writes the run folder.
        count: How many there are, on all machines.
        count_here: How many of them are on this machine.
    """

    rank: int = 0
    count: int = 1
    count_here: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and tells."""
        return self.rank == 0

    @property
    def num_machines(self) -> int:
        """On how many machines they are."""
        return self.count // self.count_here

    def check(self, pipeline: Pipeline) -> None:
        """Refuse what one process alone can do, and what it cannot.

        Raises:
            ConfigError: If several are to follow visits or choose sizes, or one to share weights.
        """
        if self.count == 1 and pipeline.is_sharded:
            raise ConfigError(
                "train.sharding: full shares the weights out among several processes, and this is"
                " one. Start 'medtranslate train' with torchrun, or add --set train.sharding=none"
            )
        if self.count > 1 and pipeline.is_progression:
            raise ConfigError("method progression trains in one process; leave torchrun out")
        if self.count > 1 and pipeline.training.min_steps is not None:
            raise ConfigError(
                "train.min_steps: sizes are measured in one process. Take those that --dry-run"
                " prints for one machine, and leave min_steps out with torchrun"
            )


def find_processes() -> Processes:
    """What ``torchrun`` says of this process; it alone if nothing does."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    if any(name not in os.environ for name in names):
        return Processes()
    return Processes(*(int(os.environ[name]) for name in names))
