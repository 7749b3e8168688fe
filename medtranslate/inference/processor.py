"""What a trained model predicts on, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

_Placed = TypeVar("_Placed", Tensor, nn.Module)


class Computes(Protocol):
    """What predicting asks of a device; Lightning Fabric answers it too."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""

    def autocast(self) -> AbstractContextManager[object]:
        """The precision that training chose."""

    def to_device(self, obj: Tensor) -> Tensor:
        """Bring something there."""


@dataclass(frozen=True)
class Processor:
    """A device and a precision, and nothing that training needs: Fabric takes a second to import.

    Attributes:
        device: Where the network is.
        bf16: Whether torch computes in bf16 where it may.
    """

    device: torch.device
    bf16: bool

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which torch computes in this precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def to_device(self, obj: _Placed) -> _Placed:
        """Bring a tensor or, in place, a network there."""
        return obj.to(self.device)


def choose_device() -> torch.device:
    """The GPU if torch computes on one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
