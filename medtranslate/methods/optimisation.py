"""Optimiser steps that survive bad gradients, without asking the device how they went."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from medtranslate.losses import LossSettings, reconstruction_loss
from medtranslate.methods.averaging import AveragedWeights
from medtranslate.methods.sharding import gather, load_whole, make_whole, share_out, take_part
from medtranslate.networks.generator import Generator
from medtranslate.settings import Settings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_WARMUP = 0.03


class OptimiserSettings(Settings):
    """How the generator's weights move."""

    learning_rate: float = Field(3e-4, gt=0, description="Highest learning rate of the generator.")
    weight_decay: float = Field(1e-2, ge=0, description="Weight decay of AdamW.")
    max_gradient_norm: float = Field(1.0, gt=0, description="Longer gradients are shortened.")
    ema_decay: float = Field(
        0.995, ge=0, lt=1, description="Decay of the running average of the weights, which is used."
    )


class GuardedOptimiser:
    """AdamW with a one-cycle schedule that leaves out updates with non-finite gradients.

    bf16 on the CPU gives such gradients now and then; one of them would poison the weights.
    Whether an update is left out is decided where the weights are, by torch's fused AdamW, so that
    the program need not wait for a GPU to know.
    """

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        *,
        learning_rate: float,
        weight_decay: float,
        max_gradient_norm: float,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        """Set the network up on the device of ``fabric``; use :attr:`network` from then on."""
        self.network: Any = fabric.setup_module(network)  # Fabric's wrapper; acts as the network
        # After the network, whose weights are others once they are shared out.
        self._adamw = torch.optim.AdamW(
            self.network.parameters(),
            lr=learning_rate,
            weight_decay=weight_decay,
            betas=betas,
            fused=True,
        )
        self._fabric = fabric
        self._optimiser: Any = fabric.setup_optimizers(self._adamw)  # declared as one or several
        self._learning_rate = learning_rate
        self._max_gradient_norm = max_gradient_norm
        self.num_skipped = torch.zeros((), device=fabric.device)

    def step(self, loss: Tensor, *, progress: float) -> Tensor:
        """Update the weights, unless the loss or its gradient is not finite.

        Returns:
            Scalar on the device of the weights: 1 if the update was left out, else 0.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate * one_cycle(progress)
        self._optimiser.zero_grad()
        # Processes that train together leave the same updates out: one bad loss spoils the mean.
        mean = average_over_processes(self._fabric, loss.detach())
        self._fabric.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self._max_gradient_norm)
        norm = make_whole(norm)
        left_out = 1 - (torch.isfinite(mean) & torch.isfinite(norm)).float()
        # The name is that of mixed precision, whose scaler leaves updates out in this way too.
        self._adamw.found_inf = left_out  # type: ignore[attr-defined]  # torch declares none
        self._optimiser.step()
        self.num_skipped = self.num_skipped + left_out
        return left_out

    def state(self) -> dict[str, Any]:
        """Weights, moments and the counter."""
        moments = self._optimiser.state_dict()["state"]
        return {
            "network": gather(self.network.state_dict()),
            "moments": {str(number): gather(entry) for number, entry in moments.items()},
            "num_skipped": int(self.num_skipped),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        load_whole(self.network, state["network"])
        complete = self._optimiser.state_dict()
        parameters = list(self.network.parameters())
        complete["state"] = {
            int(number): _lay_out_like(parameters[int(number)], entry)
            for number, entry in state["moments"].items()
        }
        self._optimiser.load_state_dict(complete)
        self.num_skipped = torch.full_like(self.num_skipped, float(state["num_skipped"]))


def average_over_processes(fabric: Fabric, value: Tensor) -> Tensor:
    """Mean of a scalar over the processes that train together; the scalar itself for one."""
    if fabric.world_size == 1:
        return value
    mean = fabric.all_reduce(value.clone(), reduce_op="mean")
    return cast("Tensor", mean)


def _lay_out_like(parameter: Tensor, moments: dict[str, Tensor]) -> dict[str, Tensor]:
    """Moments in the memory order of their weights: fused AdamW pairs them as they lie."""
    return {
        name: torch.empty_like(parameter).copy_(take_part(moment, parameter))
        if moment.shape == parameter.shape
        else moment
        for name, moment in moments.items()
    }


def one_cycle(progress: float) -> float:
    """Factor of the learning rate: a short linear rise, then half a cosine down to 1 %."""
    if progress < _WARMUP:
        return max(progress / _WARMUP, 0.01)
    fall = (min(progress, 1.0) - _WARMUP) / (1 - _WARMUP)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall))


class GeneratorLearner:
    """A generator in training: its guarded optimiser and the running average of its weights."""

    def __init__(
        self,
        generator: Generator,
        fabric: Fabric,
        *,
        optimiser: OptimiserSettings,
        loss: LossSettings,
    ) -> None:
        """Train ``generator``, whose lookup map is already fitted."""
        options = optimiser.model_dump(exclude={"ema_decay"})
        self._fabric, self._loss = fabric, loss
        self._average = AveragedWeights(fabric.to_device(generator), optimiser.ema_decay)
        share_out(self._average.module, fabric)
        self._optimiser = GuardedOptimiser(fabric, generator, **options)

    @property
    def average(self) -> Generator:
        """The generator with averaged weights."""
        return cast("Generator", self._average.module)

    @property
    def num_skipped(self) -> Tensor:
        """Updates left out because the loss or its gradient was not finite; a scalar."""
        return self._optimiser.num_skipped

    def compile(self, mode: str) -> None:
        """Have torch compile the generator in training; names of weights stay."""
        self._optimiser.network.module.compile(mode=mode, dynamic=False)

    def predict(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Prediction for the batch, and its reconstruction loss.

        Processes that train together divide by the same number of voxels, so that the mean of their
        losses is the loss of their patches in one batch.
        """
        prediction = self._optimiser.network(batch["source"])
        voxels = average_over_processes(self._fabric, batch["mask"].sum())
        loss = reconstruction_loss(
            batch["target"], prediction, batch["mask"], settings=self._loss, voxels=voxels
        )
        return prediction, loss

    def tell(self, loss: Tensor) -> Tensor:
        """A loss for the log; its mean over processes that train together."""
        return average_over_processes(self._fabric, loss.detach())

    def step(self, loss: Tensor, *, progress: float) -> None:
        """Move the weights and, if they moved, their average."""
        left_out = self._optimiser.step(loss, progress=progress)
        self._average.update(self._optimiser.network.module, left_out=left_out)

    def state(self) -> dict[str, Any]:
        """Weights, optimiser and average."""
        average = gather(self._average.state_dict())
        return {"optimiser": self._optimiser.state(), "average": average}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self._optimiser.load_state(state["optimiser"])
        load_whole(self._average, state["average"])
