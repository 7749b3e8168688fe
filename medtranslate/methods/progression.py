"""Progression: a conditional GAN that moves today's scan and adds what is new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor

from medtranslate.losses import adversarial_loss
from medtranslate.methods.averaging import AveragedWeights
from medtranslate.methods.base import Batch
from medtranslate.methods.cgan import AdversarySettings
from medtranslate.methods.optimisation import GuardedOptimiser, OptimiserSettings
from medtranslate.methods.progression_terms import (
    ProgressionLossSettings,
    find_share,
    image_loss,
    proportion_loss,
    region_loss,
    regularity_loss,
    sparsity_loss,
)
from medtranslate.networks.deformation import warp
from medtranslate.networks.discriminator import ConditionalDiscriminator
from medtranslate.networks.inputs import NUM_CHANNELS
from medtranslate.networks.progression import (
    Dynamics,
    ProgressionGeneratorSettings,
    ProgressionNetwork,
    advance_region,
    displace,
)
from medtranslate.settings import Settings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_WITHIN = 0.999


class ProgressionSettings(Settings):
    """Deformation plus residual, at any time, with a conditional patch discriminator."""

    name: Literal["progression"] = Field(description="Which method this is.")
    generator: ProgressionGeneratorSettings = Field(
        ProgressionGeneratorSettings(), description="The network."
    )
    loss: ProgressionLossSettings = Field(
        ProgressionLossSettings(), description="Terms of the loss."
    )
    optimiser: OptimiserSettings = Field(OptimiserSettings(), description="How weights move.")
    adversary: AdversarySettings = Field(AdversarySettings(), description="The adversary.")


class Future(NamedTuple):
    """A scan some years on.

    Attributes:
        image: Shape ``(n, 1, i, j, k)``; warped baseline plus mask times residual.
        displacement: Shape ``(n, 3, i, j, k)``, voxels; pulls the baseline.
        added: Shape ``(n, 1, i, j, k)``; what was added to the warped baseline.
    """

    image: Tensor
    displacement: Tensor
    added: Tensor


def develop(
    network: ProgressionNetwork, dynamics: Dynamics, baseline: Tensor, years: Tensor
) -> Future:
    """Let time pass.

    ``warp(baseline) + mask * residual``: at 0 years exactly the baseline.

    Args:
        network: Says how residuals grow with time.
        dynamics: What it said of this baseline.
        baseline: Shape ``(n, 1, i, j, k)``, normalised.
        years: Shape ``(n,)``.
    """
    displacement = displace(dynamics.velocity, years)
    growth = network.growth(years)[..., None, None, None]
    added = dynamics.mask * (dynamics.residual * growth).sum(dim=1, keepdim=True)
    return Future(warp(baseline, displacement) + added, displacement, added)


def move_region(
    network: ProgressionNetwork,
    dynamics: Dynamics,
    displacement: Tensor,
    *,
    label: Tensor,
    nearness: Tensor | None,
    years: Tensor,
) -> Tensor:
    """Chance that each voxel belongs to the region after ``years``.

    Args:
        network: Says whether the region grows or only moves.
        dynamics: What it said of this baseline.
        displacement: Shape ``(n, 3, i, j, k)``, voxels, of the same time.
        label: Shape ``(n, 1, i, j, k)``, 0 to 1; the region today.
        nearness: Same shape; needed if the region grows.
        years: Shape ``(n,)``.
    """
    if not network.settings.growing_region or nearness is None:
        return warp(label, displacement)
    return advance_region(nearness, displacement, dynamics.front, years)


def _further_regions(batch: Batch) -> list[tuple[str, str]]:
    """Keys of each further region of ``label-NAME``, today and later."""
    today = [key for key in batch if key.startswith("label-")]
    return [(key, key.replace("label", "later", 1)) for key in today]


class Progression:
    """Learn how scans change from pairs of visits, by reconstruction and by deceiving an adversary.

    The discriminator is given the baseline and, as a channel, the interval; it judges the follow-up
    (Isola et al., 2017). Before ``adversary.start`` it is neither asked nor taught.

    A batch holds, beside ``source``, ``target`` and ``mask``: ``years`` ``(n,)``, ``condition``
    ``(n, c)``, ``inside`` (the patient) and, if regions are labelled, ``label`` and ``later``,
    and ``label-NAME`` and ``later-NAME`` of further ones; ``nearness`` too for a region that grows.
    """

    def __init__(
        self, generator: ProgressionNetwork, settings: ProgressionSettings, fabric: Fabric
    ) -> None:
        """Train ``generator`` on the device of ``fabric``."""
        options = settings.optimiser.model_dump(exclude={"ema_decay"})
        self._settings = settings
        self._optimiser = GuardedOptimiser(fabric, generator, **options)
        self._average = AveragedWeights(generator, settings.optimiser.ema_decay)
        self._discriminator = GuardedOptimiser(
            fabric,
            ConditionalDiscriminator(settings.adversary.discriminator, num_given=NUM_CHANNELS + 1),
            learning_rate=settings.adversary.discriminator.learning_rate,
            weight_decay=0.0,
            max_gradient_norm=settings.optimiser.max_gradient_norm,
            betas=(0.5, 0.999),
        )

    @property
    def generator(self) -> ProgressionNetwork:
        """The network with averaged weights: all that simulation needs."""
        return cast("ProgressionNetwork", self._average.module)

    @property
    def num_skipped(self) -> Tensor:
        """Updates left out because a loss or gradient was not finite; a scalar."""
        return self._optimiser.num_skipped + self._discriminator.num_skipped

    def update(self, batch: Batch, *, progress: float) -> dict[str, Tensor]:
        """One step of the network and, once the adversary has entered, one of each."""
        future, loss = self._predict(batch)
        terms = {"loss": loss.detach()}
        adversary = self._settings.adversary
        if adversary.weight == 0 or progress < adversary.start:
            self._step(loss, progress)
            return terms
        judged = self._judge(batch, future.image)
        deceit = adversarial_loss(judged, real=True)
        self._step(loss + adversary.weight * deceit, progress)
        terms["adversarial"] = deceit.detach()
        terms["discriminator"] = self._teach_discriminator(batch, future.image.detach(), progress)
        return terms

    def _predict(self, batch: Batch) -> tuple[Future, Tensor]:
        """The future of each baseline, and its loss."""
        shown = [batch["source"]] + ([batch["nearness"]] if "nearness" in batch else [])
        network = self._optimiser.network
        dynamics = network(torch.cat(shown, dim=1), batch["condition"], batch["inside"])
        core = network.module
        future = develop(core, dynamics, batch["source"][:, :1], batch["years"])
        # What is pulled from beyond the patch is unknown, and is not judged.
        within = warp(torch.ones_like(batch["mask"]), future.displacement, beyond="zeros")
        mask = batch["mask"] * (within.detach() > _WITHIN)
        settings = self._settings.loss
        loss = image_loss(batch["target"], future.image, mask, settings=settings)
        loss = loss + regularity_loss(dynamics.velocity, future.displacement, settings=settings)
        loss = loss + sparsity_loss(future.added, mask, settings=settings)
        if "label" in batch:
            loss = loss + self._region_terms(batch, core, dynamics, future.displacement, mask)
        return future, loss

    def _region_terms(
        self,
        batch: Batch,
        network: ProgressionNetwork,
        dynamics: Dynamics,
        displacement: Tensor,
        mask: Tensor,
    ) -> Tensor:
        """Where the followed region goes wrong, and which further regions leave its proportion."""
        settings = self._settings.loss
        moved = move_region(
            network,
            dynamics,
            displacement,
            label=batch["label"],
            nearness=batch.get("nearness"),
            years=batch["years"],
        )
        followed = batch["label"] * mask, batch["later"] * mask, moved * mask
        loss = region_loss(*followed, settings=settings)
        share = find_share(*followed)
        for today, later in _further_regions(batch):
            moved = warp(batch[today], displacement)
            regions = batch[today] * mask, batch[later] * mask, moved * mask
            loss = loss + proportion_loss(*regions, share, settings=settings)
        return loss

    def _step(self, loss: Tensor, progress: float) -> None:
        left_out = self._optimiser.step(loss, progress=progress)
        self._average.update(self._optimiser.network.module, left_out=left_out)

    def _judge(self, batch: Batch, image: Tensor) -> list[Tensor]:
        years = batch["years"].view(-1, 1, 1, 1, 1).expand_as(batch["mask"])
        given = torch.cat([batch["source"], years], dim=1)
        logits: list[Tensor] = self._discriminator.network(given, image * batch["mask"])
        return logits

    def _teach_discriminator(self, batch: Batch, image: Tensor, progress: float) -> Tensor:
        real, made = self._judge(batch, batch["target"]), self._judge(batch, image)
        loss = 0.5 * (adversarial_loss(real, real=True) + adversarial_loss(made, real=False))
        self._discriminator.step(loss, progress=progress)
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """Both networks, their optimisers and the average."""
        return {
            "generator": self._optimiser.state(),
            "average": self._average.state_dict(),
            "discriminator": self._discriminator.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self._optimiser.load_state(state["generator"])
        self._average.load_state_dict(state["average"])
        self._discriminator.load_state(state["discriminator"])
