"""What every method offers to training and inference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from medtranslate.networks.generator import Generator

Batch = dict[str, Tensor]
"""``source`` (two channels, see ``make_inputs``), ``target`` and ``mask``: ``(n, c, i, j, k)``."""


class Trainable(Protocol):
    """What the training loop needs of a method; every method has it."""

    @property
    def generator(self) -> nn.Module:
        """The network with averaged weights: all that is kept."""

    @property
    def num_skipped(self) -> Tensor:
        """Updates left out because a loss or gradient was not finite; a scalar, never changed."""

    def update(self, batch: Batch, *, progress: float) -> dict[str, Tensor]:
        """Learn from one batch; loss terms by name, scalars on the device of the batch."""

    def state(self) -> dict[str, Any]:
        """Everything that resuming needs, as nested dictionaries of tensors and numbers."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""


class AbstractMethod(ABC):
    """A way of learning the mapping from source to target."""

    @property
    @abstractmethod
    def generator(self) -> Generator:
        """The generator with averaged weights: all that inference needs."""

    @property
    @abstractmethod
    def num_skipped(self) -> Tensor:
        """Updates left out because a loss or gradient was not finite; a scalar, never changed."""

    @abstractmethod
    def compile(self, mode: str) -> None:
        """Have torch compile the generator in training, in a mode of ``torch.compile``."""

    @abstractmethod
    def update(self, batch: Batch, *, progress: float) -> dict[str, Tensor]:
        """Learn from one batch; nothing in it waits for the device.

        Args:
            batch: Patches in normalised units.
            progress: Part of the training that is done, 0 to 1; drives the schedules.

        Returns:
            Loss terms by name, for the log: scalars on the device of the batch.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that resuming needs, as nested dictionaries of tensors and numbers."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""

    @torch.inference_mode()
    def translate(self, source: Tensor) -> Tensor:
        """Predict with the averaged weights: ``(n, 2, i, j, k)`` in, ``(n, 1, i, j, k)`` out."""
        prediction: Tensor = self.generator.eval()(source)
        return prediction
