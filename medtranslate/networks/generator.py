"""The generator: a residual U-Net that corrects a voxel-wise starting map."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from monai.networks.blocks.segresnet_block import ResBlock
from monai.networks.nets import SegResNet
from torch import Tensor, nn
from torch.nn import functional

from medtranslate.networks.inputs import NUM_CHANNELS
from medtranslate.networks.lookup import LookupMap
from medtranslate.networks.settings import GeneratorSettings

FINE = {2: "n c (i a) (j b)", 3: "n c (i a) (j b) (k d)"}
"""Voxels, by the number of axes along which the network convolves."""

COARSE = {2: "n (c a b) i j", 3: "n (c a b d) i j k"}
"""The same with the voxels of a block as channels: what the backbone sees."""


class Generator(nn.Module):
    """Predict the target from the source: a starting map plus a correction.

    The starting map is the mean of two voxel-wise maps, one of the intensity, one of the rank.

    The correction is a residual U-Net (MONAI ``SegResNet``: upsampling followed by convolution)
    whose last layer starts at zero, so the untrained generator equals the starting map.
    """

    def __init__(self, settings: GeneratorSettings) -> None:
        """Build an untrained generator of the given size."""
        super().__init__()
        self.settings = settings
        self.dimensions = 3 if settings.dimensions == "3d" else 2
        self.lookup = LookupMap()
        self.rank_lookup = LookupMap()
        num_inputs = 2 * NUM_CHANNELS * (1 if self.dimensions == 3 else settings.neighbour_slices)
        num_blocks = settings.stem_factor**self.dimensions
        self.backbone = SegResNet(
            spatial_dims=self.dimensions,
            init_filters=settings.channels,
            in_channels=num_inputs * num_blocks,
            out_channels=settings.head_channels * num_blocks,
            blocks_down=settings.blocks,
            blocks_up=(1,) * (len(settings.blocks) - 1),
            act=("LEAKYRELU", {"negative_slope": 0.1, "inplace": True}),
        )
        if settings.norm == "none":
            _remove_norm(self.backbone)
        convolution = nn.Conv3d if self.dimensions == 3 else nn.Conv2d
        self.head = convolution(settings.head_channels + num_inputs, 1, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        if self.dimensions == 3:
            for parameter in self.parameters():
                if parameter.ndim == 5:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)

    def forward(self, source: Tensor) -> Tensor:
        """Predict the target.

        Args:
            source: Shape ``(n, 2, i, j, k)``, from :func:`make_inputs`; in-plane sizes (all sizes
                of a 3d generator) multiples of ``settings.divisor``.

        Returns:
            Shape ``(n, 1, i, j, k)``, in the target's normalised unit.
        """
        return self.predict_with(self.correct, source)

    def predict_with(self, correct: Callable[[Tensor], Tensor], source: Tensor) -> Tensor:
        """Predict with another way of computing :meth:`correct`, such as an exported graph."""
        maps = self._map_channels(source)
        return maps.mean(dim=1, keepdim=True) + correct(torch.cat([source, maps], dim=1))

    def correct(self, inputs: Tensor) -> Tensor:
        """What is added to the starting map.

        Args:
            inputs: Shape ``(n, 4, i, j, k)``: the source's two channels, and the map of each.

        Returns:
            Shape ``(n, 1, i, j, k)``, float32.
        """
        return self.correct_with(self.head, inputs)

    def correct_with(self, head: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """:meth:`correct` with another way of computing its last layer."""
        if self.dimensions == 3:
            return self._correct(head, inputs)
        slices = rearrange(self._with_neighbours(inputs), "n c i j k -> (n k) c i j")
        return rearrange(self._correct(head, slices), "(n k) c i j -> n c i j k", n=len(inputs))

    def begin(self, source: Tensor) -> Tensor:
        """The starting map alone: ``(n, 2, i, j, k)`` in, ``(n, 1, i, j, k)`` out."""
        return self._map_channels(source).mean(dim=1, keepdim=True)

    def _map_channels(self, source: Tensor) -> Tensor:
        return torch.cat([self.lookup(source[:, :1]), self.rank_lookup(source[:, 1:])], dim=1)

    def _with_neighbours(self, inputs: Tensor) -> Tensor:
        reach = self.settings.neighbour_slices // 2
        padded = functional.pad(inputs, (reach, reach, 0, 0, 0, 0), mode="replicate")
        depth = inputs.shape[-1]
        neighbours = [
            padded.narrow(-1, first, depth) for first in range(self.settings.neighbour_slices)
        ]
        return torch.stack(neighbours, dim=2).flatten(1, 2)

    def _correct(self, head: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        fine, coarse = FINE[self.dimensions], COARSE[self.dimensions]
        factors = dict.fromkeys("abd"[: self.dimensions], self.settings.stem_factor)
        features = self.backbone(rearrange(inputs, f"{fine} -> {coarse}", **factors))
        features = rearrange(features, f"{coarse} -> {fine}", **factors)
        return head(torch.cat([features, inputs.to(features.dtype)], dim=1)).float()


def _remove_norm(backbone: nn.Module) -> None:
    """Take normalisation out of MONAI's network; every residual block starts as the identity."""
    for module in list(backbone.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, nn.Identity())
        if isinstance(module, ResBlock):
            nn.init.zeros_(module.conv2.conv.weight)
