"""What a progression model says of one baseline on the model grid, at any time asked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from medtranslate.methods.progression import Future, develop, move_region
from medtranslate.networks.deformation import jacobian_determinant
from medtranslate.networks.inputs import rank_voxels
from medtranslate.networks.progression import Dynamics, ProgressionNetwork, displace


@dataclass(frozen=True, eq=False)
class Foresight:
    """How one baseline changes; asked for a time, it answers without the network.

    Attributes:
        network: Says how residuals and regions unfold.
        dynamics: What it said of the baseline, padded to its divisor, on the CPU.
        baseline: Shape ``(1, 1, i, j, k)``, padded.
        nearness: Same shape; None unless the region grows.
        shape: Sizes without the padding, which lies at the end of each axis.
    """

    network: ProgressionNetwork
    dynamics: Dynamics
    baseline: Tensor
    nearness: Tensor | None
    shape: tuple[int, int, int]

    @property
    def grows(self) -> bool:
        """Whether the region grows into tissue, instead of moving with it alone."""
        return self.nearness is not None

    @torch.inference_mode()
    def at(self, years: float, *, speed: float = 1.0) -> Future:
        """The baseline some years on; ``speed`` 2 is a disease twice as fast."""
        passed = torch.tensor([years * speed])
        future = develop(self.network, self.dynamics, self.baseline, passed)
        return Future(*(self._cut(part) for part in future))

    @torch.inference_mode()
    def region_at(self, label: Tensor, years: float, *, speed: float = 1.0) -> Tensor:
        """How much of each voxel belongs to a region after some years; ``(1, 1, i, j, k)``.

        A region that grows has a sharp border: the soft one of training would add volume.
        """
        passed = torch.tensor([years * speed])
        moved = move_region(
            self.network,
            self.dynamics,
            displace(self.dynamics.velocity, passed),
            label=_pad(label[None], self.network.settings.divisor),
            nearness=self.nearness,
            years=passed,
        )
        if self.nearness is not None:
            moved = (moved > 0.5).float()
        return self._cut(moved)

    @torch.inference_mode()
    def stretch_at(self, years: float) -> Tensor:
        """Volume of the baseline's tissue after some years over that today, ``(1, 1, i, j, k)``."""
        onward = displace(self.dynamics.velocity, torch.tensor([-years]))
        return self._cut(jacobian_determinant(onward))

    def pad(self, image: Tensor, *, zeros: bool = False) -> Tensor:
        """An image ``(1, i, j, k)`` padded as ``baseline`` is: by its edge values, or by zeros."""
        return _pad(image[None], self.network.settings.divisor, zeros=zeros)

    def _cut(self, image: Tensor) -> Tensor:
        i, j, k = self.shape
        return image[..., :i, :j, :k].contiguous()


@torch.inference_mode()
def look_ahead(
    network: ProgressionNetwork,
    *,
    source: Tensor,
    mask: Tensor,
    condition: Tensor,
    nearness: Tensor | None,
) -> Foresight:
    """Ask the network once about a baseline.

    Args:
        network: Trained, on any device.
        source: Shape ``(1, i, j, k)``, normalised, on the CPU.
        mask: Same shape; 1 inside the patient.
        condition: Shape ``(c,)``.
        nearness: Same shape as ``source``, for a region that grows.
    """
    plain = source.as_subclass(Tensor)
    inside = mask.as_subclass(Tensor)
    divisor = network.settings.divisor
    shown = [plain, rank_voxels(plain, inside)] + ([] if nearness is None else [nearness])
    padded = _pad(torch.cat(shown)[None], divisor)
    device = next(network.parameters()).device
    dynamics = network(
        padded.to(device),
        condition[None].to(device),
        _pad(inside[None].float(), divisor, zeros=True).to(device),
    )
    i, j, k = plain.shape[1:]
    near = None if nearness is None else _pad(nearness[None], divisor)
    parts = Dynamics(*(part.float().cpu() for part in dynamics))
    return Foresight(network, parts, padded[:, :1], near, (i, j, k))


def _pad(image: Tensor, divisor: int, *, zeros: bool = False) -> Tensor:
    """Padding at the end of each axis: edge values, or zeros."""
    missing = [-size % divisor for size in image.shape[2:]]
    widths = (0, missing[2], 0, missing[1], 0, missing[0])
    return functional.pad(image, widths) if zeros else functional.pad(image, widths, "replicate")
