"""How long and how fast a method is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from medtranslate.settings import Settings

_TIME = r"^\d+[smh]$"
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class TrainingSettings(Settings):
    """How long and how fast to train."""

    num_steps: int | None = Field(
        None, ge=1, description="Optimiser updates, not epochs; give this or time_budget."
    )
    time_budget: str | None = Field(
        None, pattern=_TIME, description="Wall time such as 90s, 20m or 2h."
    )
    min_steps: int | None = Field(
        None,
        ge=1,
        description="Updates that time_budget must allow: on a machine too slow for them, the patch"
        " and generator.channels are made smaller before the start, as far as needed.",
    )
    patch_size: tuple[int, int, int] = Field(
        (80, 96, 80), description="Voxels of a training patch along (i, j, k)."
    )
    batch_size: int = Field(1, ge=1, description="Patches in one update.")
    num_validations: int = Field(
        10, ge=1, description="Times, evenly spread, at which the averaged weights are scored."
    )
    seed: int = Field(0, ge=0, description="Seed of weights, patches and augmentation.")
    seeds: int = Field(
        1,
        ge=1,
        description="Trainings by 'run', with this seed and those that follow; scores are averaged"
        " within each person.",
    )
    precision: Literal["auto", "bf16-mixed", "32-true"] = Field(
        "auto", description="auto: bf16 autocast where the processor computes in it, else float32."
    )
    compile: Literal["auto", "never"] = Field(
        "auto",
        description="auto: on a GPU, before a training of ten minutes or more, torch.compile is"
        " measured and used where updates are faster by it.",
    )
    sharding: Literal["none", "full"] = Field(
        "none",
        description="none: each of several processes holds the whole network. full: each holds a"
        " part of its weights, gradients, moments and average, and layers are put together as they"
        " compute; for networks too large for one GPU. Checkpoints and results are the same.",
    )
    checkpoint_every: str = Field(
        "5m",
        pattern=_TIME,
        description="What resuming needs is saved with each validation, and between two of them"
        " whenever this much time went by, such as 90s, 20m or 2h.",
    )
    max_skipped: int = Field(
        200, ge=1, description="Training stops after this many updates with non-finite gradients."
    )

    @field_validator("patch_size")
    @classmethod
    def _is_large_enough(cls, patch_size: tuple[int, int, int]) -> tuple[int, int, int]:
        if min(patch_size) < 16:
            raise ValueError("every side of a patch needs at least 16 voxels")
        return patch_size

    @model_validator(mode="after")
    def _has_one_length(self) -> TrainingSettings:
        if (self.num_steps is None) == (self.time_budget is None):
            raise ValueError("give either num_steps or time_budget, not both and not neither")
        if self.min_steps is not None and self.time_budget is None:
            raise ValueError("min_steps goes with time_budget")
        return self

    @property
    def budget_seconds(self) -> float | None:
        """The time budget in seconds, None if the number of steps decides."""
        if self.time_budget is None:
            return None
        return _to_seconds(self.time_budget)

    @property
    def checkpoint_seconds(self) -> float:
        """After how many seconds of training without a checkpoint one is saved."""
        return _to_seconds(self.checkpoint_every)


def _to_seconds(time: str) -> float:
    return float(int(time[:-1]) * _SECONDS[time[-1]])
