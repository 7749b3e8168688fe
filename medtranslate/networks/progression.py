"""The progression network: from today's scan to how it moves and what is new, at any time."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from einops import rearrange
from monai.networks.blocks.segresnet_block import get_conv_layer
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medtranslate.networks.deformation import integrate, warp
from medtranslate.networks.inputs import NUM_CHANNELS
from medtranslate.networks.smoothing import Smoothing
from medtranslate.settings import Settings

_STEM = 2
_FINE, _COARSE = "n c (i a) (j b) (k d)", "n (c a b d) i j k"
_SLOPE = 0.1
_SMOOTHING_VOXELS = 0.5
_EDGE_MM = 1.0
REACH_MM = 30.0
"""How far from a region its distance is told apart."""


class ProgressionGeneratorSettings(Settings):
    """Size of the progression network and what it may change."""

    channels: int = Field(
        16,
        ge=8,
        le=256,
        multiple_of=8,
        description="Feature channels of the first level; then doubled.",
    )
    levels: int = Field(3, ge=2, le=5, description="Resolutions, each half the one before.")
    monotone: bool = Field(
        True,
        description="New intensity only ever grows with time; off: it may come and go again.",
    )
    growing_region: bool = Field(
        False,
        description="The labelled region also grows into tissue that stays where it is, as a "
        "tumour does; off: it moves with the tissue alone. On: simulate needs --region.",
    )

    @property
    def divisor(self) -> int:
        """Number that the sizes of what the network is given must be a multiple of."""
        return int(_STEM * 2 ** (self.levels - 1))

    @property
    def dimensions(self) -> str:
        """Volumes, as :class:`~medtranslate.networks.settings.GeneratorSettings` says it."""
        return "3d"


class Dynamics(NamedTuple):
    """What changes at every place in a year; nothing here depends on the time asked.

    Attributes:
        velocity: Shape ``(n, 3, i/2, j/2, k/2)``, voxels of that grid a year.
        residual: Shape ``(n, r, i, j, k)``; new intensity after a long time (first channel), and
            at its height, if it may come and go (second). Normalised unit.
        mask: Shape ``(n, 1, i, j, k)``, 0 to 1; where there is anything new.
        front: Shape ``(n, 1, i, j, k)``, mm a year by which a growing region advances; 0 if the
            region only moves.
    """

    velocity: Tensor
    residual: Tensor
    mask: Tensor
    front: Tensor


class FilmBlock(nn.Module):
    """Residual block whose features are scaled and shifted by the conditions.

    References:
        Perez et al., AAAI 2018 (feature-wise linear modulation).
    """

    def __init__(self, channels: int, num_conditions: int) -> None:
        """Start as the identity: the second convolution is 0."""
        super().__init__()
        self.first = get_conv_layer(3, channels, channels, bias=True)
        self.second = get_conv_layer(3, channels, channels, bias=True)
        self.modulation = nn.Linear(num_conditions, 2 * channels)
        for layer in (self.second, self.modulation):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Features in, features of the same shape out."""
        scale, shift = self.modulation(condition)[..., None, None, None].chunk(2, dim=1)
        changed = self.first(functional.leaky_relu(features, _SLOPE)) * (1 + scale) + shift
        result: Tensor = features + self.second(functional.leaky_relu(changed, _SLOPE))
        return result


class ProgressionNetwork(nn.Module):
    """Say of a scan how it changes: a velocity, an intensity residual with its mask, a front.

    A small residual U-Net at half resolution, without normalisation, conditioned by FiLM. What
    moves and advances is multiplied by a speed, the exponential of a linear function of the
    conditions, which is fitted to the training people's volumes once the rest has been trained
    (:meth:`set_speed`). Its heads start at zero: the untrained network says that nothing changes.
    It is never told the time.
    """

    def __init__(self, settings: ProgressionGeneratorSettings, *, num_conditions: int) -> None:
        """Build an untrained network for conditions of the given length."""
        super().__init__()
        self.settings = settings
        self.num_conditions = num_conditions
        num_inputs = NUM_CHANNELS + int(settings.growing_region)
        widths = [settings.channels * 2**level for level in range(settings.levels)]
        size = num_conditions + 1  # a constant 1, so that there is always something to modulate by
        self.stem = get_conv_layer(3, num_inputs * _STEM**3, widths[0], bias=True)
        self.down = nn.ModuleList(FilmBlock(width, size) for width in widths)
        pairs = list(pairwise(widths))
        self.shrink = nn.ModuleList(
            get_conv_layer(3, fine, coarse, stride=2, bias=True) for fine, coarse in pairs
        )
        self.widen = nn.ModuleList(
            get_conv_layer(3, coarse, fine, kernel_size=1, bias=True) for fine, coarse in pairs
        )
        self.up = nn.ModuleList(FilmBlock(fine, size) for fine, _ in pairs)
        self.smooth = Smoothing(_SMOOTHING_VOXELS)
        self.velocity = get_conv_layer(3, widths[0], 3, bias=True)
        num_fine = 2 + (0 if settings.monotone else 1) + int(settings.growing_region)
        self.fine = get_conv_layer(3, widths[0], num_fine * _STEM**3, bias=True)
        self.log_pace = nn.Parameter(torch.zeros(()))
        self.log_speed = nn.Parameter(torch.zeros(size), requires_grad=False)
        for head in (self.velocity, self.fine):
            for parameter in head.parameters():
                nn.init.zeros_(parameter)

    def forward(self, source: Tensor, condition: Tensor, inside: Tensor) -> Dynamics:
        """What changes in a year.

        Args:
            source: Shape ``(n, c, i, j, k)``: intensity and rank (:func:`rank_voxels`) and, for
                a growing region, its nearness; sizes multiples of ``settings.divisor``.
            condition: Shape ``(n, num_conditions)``, see ``ConditionCode``.
            inside: Shape ``(n, 1, i, j, k)``, 1 inside the patient; nothing changes elsewhere.
        """
        known = torch.cat([condition, condition.new_ones(len(condition), 1)], dim=1)
        features = self._features(source, known)
        fine = rearrange(self.fine(features), f"{_COARSE} -> {_FINE}", a=_STEM, b=_STEM, d=_STEM)
        fine = fine.float()
        num_residuals = 1 if self.settings.monotone else 2
        residual, mask = fine[:, :num_residuals], fine[:, num_residuals : num_residuals + 1]
        front = (
            fine[:, num_residuals + 1 :] * REACH_MM
            if self.settings.growing_region
            else (torch.zeros_like(mask))
        )
        share = functional.avg_pool3d(inside, _STEM)
        velocity = self.smooth(self.velocity(features).float() * share)
        speed = torch.exp(known.float() @ self.log_speed.float()).view(-1, 1, 1, 1, 1)
        return Dynamics(speed * velocity, residual, torch.sigmoid(mask) * inside, speed * front)

    @torch.no_grad()
    def set_speed(self, effects: Tensor) -> None:
        """How the conditions change the speed of what moves and advances.

        Args:
            effects: Shape ``(num_conditions + 1,)``; on the logarithm of the speed, of each number
                of the condition, and last the constant.
        """
        self.log_speed.copy_(effects)

    def growth(self, years: Tensor) -> Tensor:
        """How much of each residual is there after some years: ``(n,)`` in, ``(n, r)`` out.

        ``1 - exp(-s)`` rises for ever, ``s exp(1 - s)`` rises to 1 and falls, with
        ``s = pace * years`` and a pace that is learned. Both are exactly 0 at 0.
        """
        spent = torch.exp(self.log_pace.float()) * years.float()
        parts = [-torch.expm1(-spent)]
        if not self.settings.monotone:
            parts.append(spent * torch.exp(1 - spent))
        return torch.stack(parts, dim=1)

    def _features(self, source: Tensor, condition: Tensor) -> Tensor:
        coarse = rearrange(source, f"{_FINE} -> {_COARSE}", a=_STEM, b=_STEM, d=_STEM)
        features = self.stem(coarse)
        skipped = []
        for number, block in enumerate(self.down):
            features = block(features, condition)
            if number < len(self.shrink):
                skipped.append(features)
                features = self.shrink[number](features)
        for number in reversed(range(len(self.up))):
            wider = functional.interpolate(self.widen[number](features), scale_factor=2.0)
            features = self.up[number](skipped[number] + wider, condition)
        result: Tensor = features
        return result


def displace(velocity: Tensor, years: Tensor) -> Tensor:
    """Displacement on the scan's grid from a velocity at half its resolution.

    Args:
        velocity: Shape ``(n, 3, i/2, j/2, k/2)``, voxels of that grid a year.
        years: Shape ``(n,)``.

    Returns:
        Shape ``(n, 3, i, j, k)``, voxels of the scan's grid; pulls, see :func:`warp`.
    """
    coarse = integrate(velocity, years)
    fine: Tensor = functional.interpolate(
        coarse, scale_factor=float(_STEM), mode="trilinear", align_corners=False
    )
    return _STEM * fine


def advance_region(nearness: Tensor, displacement: Tensor, front: Tensor, years: Tensor) -> Tensor:
    """Chance that a voxel belongs to a region that moves with the tissue and advances into it.

    The region is where its signed distance is below 0. The distance is carried along by the
    displacement and falls by ``front`` millimetres a year; half a millimetre outside the border
    the chance is 38 %, inside 62 %.

    Args:
        nearness: Shape ``(n, 1, i, j, k)``, from :func:`measure_nearness`.
        displacement: Shape ``(n, 3, i, j, k)``, voxels.
        front: Shape ``(n, 1, i, j, k)``, mm a year.
        years: Shape ``(n,)``.

    Returns:
        Shape ``(n, 1, i, j, k)``, 0 to 1.
    """
    carried = warp(nearness, displacement)
    advanced = (carried - 1) * REACH_MM + front * years.float().view(-1, 1, 1, 1, 1)
    return torch.sigmoid(advanced / _EDGE_MM)
