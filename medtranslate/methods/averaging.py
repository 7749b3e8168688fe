"""The running average of a network's weights, which is what a training leaves behind."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


class AveragedWeights(nn.Module):
    """A running average that is updated without waiting for the device of the weights.

    Early on it forgets faster, to leave the start behind: after ``n`` updates the weight of what
    was is ``min(decay, (1 + n) / (10 + n))``; the first update takes the weights as they are.
    torch's ``AveragedModel`` asks the device for ``n`` in each update.
    """

    n_averaged: Tensor

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Begin with a copy of ``network``."""
        super().__init__()
        self.module = deepcopy(network)
        device = next(self.module.parameters()).device
        self.register_buffer("n_averaged", torch.zeros((), dtype=torch.long, device=device))
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, *, left_out: Tensor) -> None:
        """Follow ``network``, unless its last update was left out.

        Args:
            network: Like the one that the average began with.
            left_out: Scalar on the device of the weights; 1 if the average is to stay, else 0.
        """
        count = self.n_averaged.double()
        kept = torch.where(count > 0, ((1 + count) / (10 + count)).clamp(max=self._decay), 0.0)
        weight = ((1 - kept) * (1 - left_out)).float()
        averages: list[Tensor] = list(self.module.parameters())
        current: list[Tensor] = list(network.parameters())
        weights = [weight] * len(averages)
        torch._foreach_lerp_(averages, current, weights)
        for average, value in zip(self.module.buffers(), network.buffers(), strict=True):
            average.copy_(value)
        self.n_averaged += 1 - left_out.long()
