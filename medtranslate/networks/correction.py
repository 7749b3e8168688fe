"""The part of a generator that convolves, in the form in which it is exported."""

from __future__ import annotations

from copy import deepcopy
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

from medtranslate.networks.generator import Generator, to_blocks, to_voxels

_Convolution = nn.Conv2d | nn.Conv3d


class CorrectionNetwork(nn.Module):
    """What :meth:`Generator.correct` computes; the starting map is left out and stays in float32.

    The same sums in fewer passes over the volume. The voxels of a block are not made channels: the
    first convolution goes over the voxels in steps of a block. Nor are channels made voxels before
    the head: the backbone's last convolution and the head become one, with a channel for each voxel
    of a block.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        self.factor = generator.settings.stem_factor
        self.backbone = deepcopy(generator.backbone)
        first, last = generator.backbone.convInit.conv, generator.backbone.conv_final[-1].conv
        self.backbone.convInit = step_over_blocks(first, self.factor)
        self.backbone.conv_final[-1] = nn.Identity()
        head = compute_blocks(generator.head, self.factor)
        split = generator.settings.head_channels
        kernel = head.weight.detach()
        self.from_inputs = _build(
            kernel[:, split:], stride=self.factor, padding=1, bias=head.state_dict()["bias"]
        )
        widened = functional.pad(kernel[:, :split], (self.factor - 1,) * 2 * generator.dimensions)
        by_block = to_blocks(widened, self.factor)
        weight, bias = (last.state_dict()[name] for name in ("weight", "bias"))
        mixed = torch.einsum("om...,mi->oi...", by_block, weight.flatten(1))
        self.from_features = _build(mixed, padding=1)
        # That bias is inside the volume only, not in the zeros around it.
        self.from_ones = _build(torch.einsum("om...,m->o...", by_block, bias)[:, None], padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        """As :meth:`Generator.correct`."""
        return self.generator.go_through(self._correct, inputs)

    def _correct(self, inputs: Tensor) -> Tensor:
        features = self.backbone(inputs)
        ones = torch.ones_like(features[:, :1])
        blocks = self.from_features(features) + self.from_inputs(inputs) + self.from_ones(ones)
        return to_voxels(blocks, self.factor)


@torch.no_grad()
def step_over_blocks(layer: _Convolution, factor: int) -> _Convolution:
    """A convolution of blocks, whose voxels are channels, as one that takes the voxels themselves.

    Args:
        layer: Kernel of 3 along every axis, zeros around, no bias.
        factor: Edge of a block in voxels.

    Returns:
        A convolution in steps of a block; its input has ``factor`` times the size along every axis
        and as many fewer channels.
    """
    return _build(to_voxels(layer.weight, factor), stride=factor, padding=factor)


@torch.no_grad()
def compute_blocks(layer: _Convolution, factor: int) -> _Convolution:
    """A convolution with one channel out as one in steps of ``factor`` with a channel per voxel.

    Processors compute sixteen channels at once, so a single one wastes them.

    Args:
        layer: Kernel of 3 along every axis, zeros around, one channel out.
        factor: Edge of a block in voxels.

    Returns:
        A convolution that gives each block's voxels as channels, in the order of its axes.
    """
    dimensions = layer.weight.ndim - 2
    weight = torch.zeros(factor**dimensions, layer.in_channels, *[factor + 2] * dimensions)
    for channel, voxel in zip(weight, product(range(factor), repeat=dimensions), strict=True):
        channel[(slice(None), *(slice(start, start + 3) for start in voxel))] = layer.weight[0]
    bias = layer.state_dict()["bias"].expand(len(weight))
    return _build(weight, stride=factor, padding=1, bias=bias)


def _build(
    weight: Tensor, *, stride: int = 1, padding: int, bias: Tensor | None = None
) -> _Convolution:
    """A convolution with these weights, ``(out, in, *kernel)``."""
    kind: type[_Convolution] = nn.Conv3d if weight.ndim == 5 else nn.Conv2d
    num_out, num_in, *kernel = weight.shape
    layer = kind(num_in, num_out, tuple(kernel), stride, padding, bias=bias is not None)  # type: ignore[arg-type]  # as many sizes as the kind has axes
    layer.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
    return layer
