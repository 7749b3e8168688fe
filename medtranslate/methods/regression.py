"""Regression: the generator trained on the reconstruction loss alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from torch import Tensor

from medtranslate.losses import LossSettings
from medtranslate.methods.base import AbstractMethod, Batch
from medtranslate.methods.optimisation import GeneratorLearner, OptimiserSettings
from medtranslate.networks.generator import Generator
from medtranslate.networks.settings import GeneratorSettings
from medtranslate.settings import Settings

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class RegressionSettings(Settings):
    """The generator without an adversary."""

    name: Literal["regression"] = Field(description="Which method this is.")
    generator: GeneratorSettings = Field(GeneratorSettings(), description="The network.")
    loss: LossSettings = Field(LossSettings(), description="Terms of the reconstruction loss.")
    optimiser: OptimiserSettings = Field(OptimiserSettings(), description="How weights move.")


class Regression(AbstractMethod):
    """Learn the mapping by reconstruction alone."""

    def __init__(self, generator: Generator, settings: RegressionSettings, fabric: Fabric) -> None:
        """Train ``generator``, whose lookup map is already fitted."""
        self._learner = GeneratorLearner(
            generator, fabric, optimiser=settings.optimiser, loss=settings.loss
        )

    @property
    def generator(self) -> Generator:
        """The generator with averaged weights."""
        return self._learner.average

    @property
    def num_skipped(self) -> Tensor:
        """Updates left out because a loss or gradient was not finite; a scalar."""
        return self._learner.num_skipped

    def compile(self, mode: str) -> None:
        """Have torch compile the generator in training."""
        self._learner.compile(mode)

    def update(self, batch: Batch, *, progress: float) -> dict[str, Tensor]:
        """One step on the reconstruction loss."""
        _, loss = self._learner.predict(batch)
        self._learner.step(loss, progress=progress)
        return {"loss": self._learner.tell(loss)}

    def state(self) -> dict[str, Any]:
        """Generator, optimiser and average."""
        return {"generator": self._learner.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self._learner.load_state(state["generator"])
