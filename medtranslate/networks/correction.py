"""The part of a generator that convolves, in the form in which it is exported."""

from __future__ import annotations

from itertools import product

import torch
from einops import rearrange
from torch import Tensor, nn

from medtranslate.networks.generator import COARSE, FINE, Generator


class CorrectionNetwork(nn.Module):
    """What :meth:`Generator.correct` computes; the starting map is left out and stays in float32.

    The last layer has a single channel to compute, and processors compute sixteen at once. Here it
    takes steps of a whole block of the stem and has a channel for each of its voxels: the same
    sums, in a third of the time.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        self.head = compute_blocks(generator.head, generator.settings.stem_factor)

    def forward(self, inputs: Tensor) -> Tensor:
        """As :meth:`Generator.correct`."""
        return self.generator.correct_with(self._compute_head, inputs)

    def _compute_head(self, features: Tensor) -> Tensor:
        dimensions, factor = self.generator.dimensions, self.generator.settings.stem_factor
        factors = dict.fromkeys("abd"[:dimensions], factor)
        blocks: Tensor = self.head(features)
        return rearrange(blocks, f"{COARSE[dimensions]} -> {FINE[dimensions]}", c=1, **factors)


@torch.no_grad()
def compute_blocks(layer: nn.Conv2d | nn.Conv3d, factor: int) -> nn.Conv2d | nn.Conv3d:
    """A convolution with one channel out as one in steps of ``factor`` with a channel per voxel.

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
    blocks = type(layer)(layer.in_channels, len(weight), factor + 2, stride=factor, padding=1)
    bias = layer.state_dict()["bias"].expand(len(weight))
    blocks.load_state_dict({"weight": weight, "bias": bias})
    return blocks
