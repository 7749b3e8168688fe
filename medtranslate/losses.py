"""What the generator is trained to make small."""

from __future__ import annotations

import torch
from einops import rearrange
from monai.losses import SSIMLoss
from pydantic import Field
from torch import Tensor

from medtranslate.settings import Settings


class LossSettings(Settings):
    """Weights of the terms of the reconstruction loss; their ratios matter."""

    l1: float = Field(0.3, ge=0, description="Weight of the mean absolute difference in the mask.")
    l2: float = Field(5.0, ge=0, description="Weight of the mean squared difference in the mask.")
    gradient: float = Field(
        0.3, ge=0, description="Weight of the absolute difference of the spatial gradients."
    )
    ssim: float = Field(0.2, ge=0, description="Weight of 1 - SSIM of every fourth axial slice.")


_SSIM_EVERY = 4
"""SSIM of all slices costs more than the network's step; patches lie at random, all get a turn."""

_slice_ssim = SSIMLoss(spatial_dims=2, data_range=1.0, win_size=11)


def reconstruction_loss(
    target: Tensor, prediction: Tensor, mask: Tensor, *, settings: LossSettings
) -> Tensor:
    """Weighted sum of masked L1, squared and gradient difference and slice-wise 1 - SSIM.

    Args:
        target: Shape ``(n, 1, i, j, k)``, normalised.
        prediction: Same shape and unit.
        mask: Same shape, 1 inside, 0 outside; outside counts for nothing.
        settings: Weights of the terms; a term of weight 0 is not computed.

    Returns:
        A scalar.
    """
    voxels = mask.sum().clamp(min=1)
    difference = (prediction - target) * mask
    loss = settings.l1 * difference.abs().sum() / voxels
    if settings.l2:
        loss = loss + settings.l2 * difference.square().sum() / voxels
    if settings.gradient:
        steps = [torch.diff(difference, dim=axis).abs().sum() for axis in (2, 3, 4)]
        loss = loss + settings.gradient * torch.stack(steps).sum() / (3 * voxels)
    if settings.ssim:
        pair = [(x * mask)[..., ::_SSIM_EVERY] for x in (prediction, target)]
        slices = [rearrange(x, "n c i j k -> (n k) c i j") for x in pair]
        loss = loss + settings.ssim * _slice_ssim(*slices)
    return loss
