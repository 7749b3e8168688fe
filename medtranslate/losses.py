"""What the generator is trained to make small."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor
from torch.nn import functional

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

_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5
_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2


def reconstruction_loss(
    target: Tensor,
    prediction: Tensor,
    mask: Tensor,
    *,
    settings: LossSettings,
    voxels: Tensor | None = None,
) -> Tensor:
    """Weighted sum of masked L1, squared and gradient difference and slice-wise 1 - SSIM.

    Args:
        target: Shape ``(n, 1, i, j, k)``, normalised.
        prediction: Same shape and unit.
        mask: Same shape, 1 inside, 0 outside; outside counts for nothing.
        settings: Weights of the terms; a term of weight 0 is not computed.
        voxels: What sums over the mask are divided by; the voxels of the mask if None.

    Returns:
        A scalar.
    """
    # Sums over a patch and differences of squares lose too much in bf16.
    with torch.autocast(prediction.device.type, enabled=False):
        voxels = (mask.sum() if voxels is None else voxels).clamp(min=1)
        difference = (prediction - target) * mask
        loss = settings.l1 * difference.abs().sum() / voxels
        if settings.l2:
            loss = loss + settings.l2 * difference.square().sum() / voxels
        if settings.gradient:
            steps = [torch.diff(difference, dim=axis).abs().sum() for axis in (2, 3, 4)]
            loss = loss + settings.gradient * torch.stack(steps).sum() / (3 * voxels)
        if settings.ssim:
            pair = [(x * mask)[..., ::_SSIM_EVERY] for x in (target, prediction)]
            slices = [rearrange(x, "n c i j k -> (n k) c i j") for x in pair]
            loss = loss + settings.ssim * (1 - slice_ssim(*slices))
    return loss


def slice_ssim(reference: Tensor, prediction: Tensor) -> Tensor:
    """Mean SSIM of slices with a Gaussian window, for training (Wang et al., 2004).

    The value is that of MONAI's ``SSIMMetric`` (window 11, sigma 1.5, data range 1, no padding).
    Its convolution with one channel is slow on processors: 20 times slower, backward pass included,
    than the same filter as two products with a banded matrix.

    Args:
        reference: Shape ``(n, c, i, j)``, float32, at least 11 pixels along ``i`` and ``j``.
        prediction: Same shape.

    Returns:
        A scalar, 1 for equal slices.
    """
    filters = [_window_matrix(size, reference.device) for size in reference.shape[2:]]
    moments = torch.stack(
        [reference, prediction, reference**2, prediction**2, reference * prediction]
    )
    x, y, xx, yy, xy = filters[0].T @ (moments @ filters[1])
    similarity = (2 * x * y + _SSIM_C1) * (2 * (xy - x * y) + _SSIM_C2)
    similarity = similarity / ((x**2 + y**2 + _SSIM_C1) * (xx - x**2 + yy - y**2 + _SSIM_C2))
    mean: Tensor = similarity.mean()
    return mean


def adversarial_loss(logits: Sequence[Tensor], *, real: bool) -> Tensor:
    """How far a discriminator's logits lie from what they are to be.

    Least squares (Mao et al., 2017). The value is that of MONAI's ``PatchAdversarialLoss``, which
    copies a label to the device for each scale and waits for it.

    Args:
        logits: Of each scale, each ``(n, 1, i, j, k)``.
        real: Whether they are to say real (1) or made (0).

    Returns:
        Mean over the scales, a scalar.
    """
    answers = [functional.leaky_relu(scale, 0.05) for scale in logits]
    losses = [
        functional.mse_loss(answer, torch.full_like(answer, float(real))) for answer in answers
    ]
    return torch.stack(losses).mean()


def _window_matrix(size: int, device: torch.device) -> Tensor:
    """Each column is the Gaussian window at one place: ``(size, size - 10)``."""
    places = torch.arange(size, device=device)
    offset = places[:, None] - places[None, : size - _SSIM_WINDOW + 1]
    window = torch.exp(-(((offset - _SSIM_WINDOW // 2) / _SSIM_SIGMA) ** 2) / 2)
    window = window * ((offset >= 0) & (offset < _SSIM_WINDOW))
    return window / window[:, :1].sum()
