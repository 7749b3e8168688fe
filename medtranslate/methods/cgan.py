"""Conditional GAN: reconstruction plus an adversary that enters late and weighs little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from torch import Tensor

from medtranslate.losses import LossSettings, adversarial_loss
from medtranslate.methods.base import AbstractMethod, Batch
from medtranslate.methods.optimisation import (
    GeneratorLearner,
    GuardedOptimiser,
    OptimiserSettings,
)
from medtranslate.networks.discriminator import ConditionalDiscriminator
from medtranslate.networks.generator import Generator
from medtranslate.networks.settings import DiscriminatorSettings, GeneratorSettings
from medtranslate.settings import Settings

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class AdversarySettings(Settings):
    """When the adversary enters and how much it counts."""

    weight: float = Field(0.01, ge=0, description="Weight of the adversarial term.")
    start: float = Field(
        0.6, ge=0, le=1, description="Part of the training after which the adversary enters."
    )
    discriminator: DiscriminatorSettings = Field(
        DiscriminatorSettings(), description="The network that judges."
    )


class CganSettings(Settings):
    """The generator with a conditional patch discriminator (Isola et al., 2017)."""

    name: Literal["cgan"] = Field(description="Which method this is.")
    generator: GeneratorSettings = Field(GeneratorSettings(), description="The network.")
    loss: LossSettings = Field(LossSettings(), description="Terms of the reconstruction loss.")
    optimiser: OptimiserSettings = Field(OptimiserSettings(), description="How weights move.")
    adversary: AdversarySettings = Field(AdversarySettings(), description="The adversary.")


class Cgan(AbstractMethod):
    """Learn the mapping by reconstruction and by deceiving a conditional discriminator.

    The adversarial loss is that of least squares, see :func:`adversarial_loss`. Before
    ``adversary.start`` the discriminator is neither asked nor taught, and costs no time.
    """

    def __init__(self, generator: Generator, settings: CganSettings, fabric: Fabric) -> None:
        """Train ``generator``, whose lookup map is already fitted."""
        self._adversary = settings.adversary
        self._learner = GeneratorLearner(
            generator, fabric, optimiser=settings.optimiser, loss=settings.loss
        )
        self._discriminator = GuardedOptimiser(
            fabric,
            ConditionalDiscriminator(settings.adversary.discriminator),
            learning_rate=settings.adversary.discriminator.learning_rate,
            weight_decay=0.0,
            max_gradient_norm=settings.optimiser.max_gradient_norm,
            betas=(0.5, 0.999),
        )

    @property
    def generator(self) -> Generator:
        """The generator with averaged weights."""
        return self._learner.average

    @property
    def num_skipped(self) -> Tensor:
        """Updates left out because a loss or gradient was not finite; a scalar."""
        return self._learner.num_skipped + self._discriminator.num_skipped

    def compile(self, mode: str) -> None:
        """Have torch compile the generator in training."""
        self._learner.compile(mode)

    def update(self, batch: Batch, *, progress: float) -> dict[str, Tensor]:
        """One step of the generator and, once the adversary has entered, one of each."""
        prediction, loss = self._learner.predict(batch)
        terms = {"loss": self._learner.tell(loss)}
        if self._adversary.weight == 0 or progress < self._adversary.start:
            self._learner.step(loss, progress=progress)
            return terms
        judged = self._discriminator.network(batch["source"], prediction * batch["mask"])
        deceit = adversarial_loss(judged, real=True)
        self._learner.step(loss + self._adversary.weight * deceit, progress=progress)
        terms["adversarial"] = self._learner.tell(deceit)
        terms["discriminator"] = self._teach_discriminator(batch, prediction.detach(), progress)
        return terms

    def _teach_discriminator(self, batch: Batch, prediction: Tensor, progress: float) -> Tensor:
        judge, mask = self._discriminator.network, batch["mask"]
        real = judge(batch["source"], batch["target"] * mask)
        made = judge(batch["source"], prediction * mask)
        loss = 0.5 * (adversarial_loss(real, real=True) + adversarial_loss(made, real=False))
        self._discriminator.step(loss, progress=progress)
        return self._learner.tell(loss)

    def state(self) -> dict[str, Any]:
        """Both networks, their optimisers and the average."""
        return {"generator": self._learner.state(), "discriminator": self._discriminator.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self._learner.load_state(state["generator"])
        self._discriminator.load_state(state["discriminator"])
