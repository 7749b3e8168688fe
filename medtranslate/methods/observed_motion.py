"""Where a person's tissue has moved so far: the velocity that explains scans of other times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from monai.networks.layers.simplelayers import GaussianFilter
from torch import Tensor

from medtranslate.methods.progression import develop
from medtranslate.networks.progression import Dynamics, ProgressionNetwork

_SMOOTHING_VOXELS = 1.5
_RIDGE = 0.02
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


def observe_motion(
    network: ProgressionNetwork,
    expected: Dynamics,
    baseline: Tensor,
    others: Sequence[OtherTime],
    *,
    smoothing_voxels: float = _SMOOTHING_VOXELS,
    ridge: float = _RIDGE,
    num_steps: int = _NUM_STEPS,
) -> Dynamics:
    """The velocity under which the baseline, let go, resembles the person's other scans most.

    What the model expects is where it starts and what it falls back to: minimised is the mean
    squared difference to the other scans, plus a ridge on the deviation ``u`` from what is
    expected, in ``velocity = expected + smooth(u)``. It is a Gaussian prior around the model:
    where the scans show nothing, the velocity stays that of the model.

    Args:
        network: Says how residuals grow with time.
        expected: What it said of the baseline, at the person's own speed.
        baseline: Shape ``(1, 1, i, j, k)``, normalised.
        others: At least one.
        smoothing_voxels: Width of the smoothing, standard deviation, voxels of the velocity's grid.
        ridge: Weight of the squared deviation, (voxels a year)^-2.
        num_steps: Most iterations of L-BFGS.
    """
    smooth = GaussianFilter(3, smoothing_voxels)
    deviation = torch.zeros_like(expected.velocity, requires_grad=True)
    optimiser = torch.optim.LBFGS([deviation], max_iter=num_steps, line_search_fn="strong_wolfe")

    def bent() -> Dynamics:
        return expected._replace(velocity=expected.velocity + smooth(deviation))

    def loss() -> Tensor:
        optimiser.zero_grad()
        dynamics = bent()
        total = ridge * deviation.square().mean()
        for other in others:
            years = torch.tensor([other.years])
            image = develop(network, dynamics, baseline, years).image
            error = (other.mask * (image - other.image)).square().sum() / other.mask.sum()
            total = total + error / len(others)
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return bent()
