"""Where a person's tissue has moved so far: the velocity that explains scans of other times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from medtranslate.networks.deformation import warp
from medtranslate.networks.progression import displace
from medtranslate.networks.smoothing import Smoothing

_SMOOTHING_VOXELS = 3.0
_RIDGE = 1.0
_NUM_STEPS = 15


class OtherTime(NamedTuple):
    """A scan of the same person at another time.

    Attributes:
        image: Shape ``(1, 1, i, j, k)``, in the baseline's unit.
        mask: Same shape, 1 where both are known.
        years: From the baseline; negative if it was before.
    """

    image: Tensor
    mask: Tensor
    years: float


def observe_velocity(expected: Tensor, baseline: Tensor, others: Sequence[OtherTime]) -> Tensor:
    """The velocity under which the baseline, moved, resembles the person's other scans most.

    What the model expects is where it starts and what it falls back to. With
    ``velocity = expected + smooth(u)``, the mean squared difference to the other scans plus a ridge
    on ``u`` is made small: a Gaussian prior around the model, smooth over 3 voxels of the
    velocity's grid. Where the scans show nothing, the velocity stays that of the model. Only
    motion is looked at: what a model adds going forward cannot be taken away going back, noise
    before all.

    Args:
        expected: Shape ``(1, 3, i/2, j/2, k/2)``, voxels of that grid a year; the model's.
        baseline: Shape ``(1, 1, i, j, k)``, normalised.
        others: At least one.

    Returns:
        Shape of ``expected``.
    """
    still, start = baseline.clone(), expected.clone()  # Inference tensors know no gradient.
    smooth = Smoothing(_SMOOTHING_VOXELS)
    deviation = torch.zeros_like(start, requires_grad=True)
    optimiser = torch.optim.LBFGS([deviation], max_iter=_NUM_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        velocity = start + smooth(deviation)
        total = _RIDGE * deviation.square().mean()
        for other in others:
            moved = warp(still, displace(velocity, torch.tensor([other.years])))
            apart = (other.mask * (moved - other.image)).square().sum()
            total = total + apart / other.mask.sum().clamp(min=1) / len(others)
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        velocity: Tensor = start + smooth(deviation)
    return velocity
