"""The generator: a residual U-Net that corrects a voxel-wise starting map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from einops import rearrange
from monai.networks.blocks.segresnet_block import ResBlock
from monai.networks.nets import SegResNet
from torch import Tensor, nn
from torch.nn import functional

from medtranslate.networks.inputs import NUM_CHANNELS
from medtranslate.networks.lookup import LookupMap
from medtranslate.networks.settings import GeneratorSettings

_VOXELS = {2: "n c (i a) (j b)", 3: "n c (i a) (j b) (k d)"}
_BLOCKS = {2: "n (c a b) i j", 3: "n (c a b d) i j k"}
_SLAB = 8


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
        maps = self._map_channels(source)
        return maps.mean(dim=1, keepdim=True) + self.correct(torch.cat([source, maps], dim=1))

    def predict_with(self, correct: Callable[[Tensor], Tensor], source: Tensor) -> Tensor:
        """Predict with another way of computing :meth:`correct`, and tell the starting map.

        Args:
            correct: As :meth:`correct`, such as an exported graph.
            source: Shape ``(n, 2, i, j, k)``, from :func:`make_inputs`; any sizes. What
                ``correct`` is given goes on with the values at the edges, on both sides alike, up
                to multiples of ``settings.divisor``.

        Returns:
            Shape ``(n, 2, i, j, k)``, float32: the prediction, and the starting map in it.
        """
        num, _, *shape = source.shape
        found = _allocate((num, 2, *shape), source.device)
        corrected = correct(self._show(source, start=found[:, 1:]))
        for axis, size in enumerate(shape, start=2):
            before, _ = _margins(size, self.settings.divisor)
            corrected = corrected.narrow(axis, before, size)
        torch.add(found[:, 1:], corrected, out=found[:, :1])
        return found

    def correct(self, inputs: Tensor) -> Tensor:
        """What is added to the starting map.

        Args:
            inputs: Shape ``(n, 4, i, j, k)``: the source's two channels, and the map of each.

        Returns:
            Shape ``(n, 1, i, j, k)``, float32.
        """
        return self.go_through(self._correct, inputs)

    def go_through(self, correct: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """Correct a volume as it is or, in 2.5d, slice by slice with the neighbours as channels."""
        if self.dimensions == 3:
            return correct(inputs).float()
        slices = rearrange(self._with_neighbours(inputs), "n c i j k -> (n k) c i j")
        corrected = correct(slices).float()
        return rearrange(corrected, "(n k) c i j -> n c i j k", n=len(inputs))

    def begin(self, source: Tensor) -> Tensor:
        """The starting map alone: ``(n, 2, i, j, k)`` in, ``(n, 1, i, j, k)`` out, float32."""
        found = _allocate((len(source), 1, *source.shape[2:]), source.device)
        for rows in _slabs(source):
            maps = self._map_channels(source[:, :, rows])
            torch.mean(maps, dim=1, keepdim=True, out=found[:, :, rows])
        return found

    def _map_channels(self, source: Tensor) -> Tensor:
        return torch.cat([self.lookup(source[:, :1]), self.rank_lookup(source[:, 1:])], dim=1)

    def _show(self, source: Tensor, *, start: Tensor) -> Tensor:
        """What :meth:`correct` takes, channels last in memory; ``start`` is filled on the way."""
        num, _, *shape = source.shape
        i, j, k = (_margins(size, self.settings.divisor) for size in shape)
        padded = [size + sum(margins) for size, margins in zip(shape, (i, j, k), strict=True)]
        shown = _allocate((num, *padded, 2 * NUM_CHANNELS), source.device)
        inner = shown[:, i[0] : i[0] + shape[0]]
        for rows in _slabs(source):
            slab = functional.pad(source[:, :, rows], (*k, *j, 0, 0), mode="replicate")
            intensity, rank = slab.unbind(dim=1)
            maps = self.lookup(intensity), self.rank_lookup(rank)
            torch.stack([intensity, rank, *maps], dim=-1, out=inner[:, rows])
            mean = torch.add(*maps).mul_(0.5)
            start[:, 0, rows] = mean.narrow(2, j[0], shape[1]).narrow(3, k[0], shape[2])
        shown[:, : i[0]], shown[:, padded[0] - i[1] :] = inner[:, :1], inner[:, -1:]
        return shown.movedim(-1, 1)

    def _with_neighbours(self, inputs: Tensor) -> Tensor:
        reach = self.settings.neighbour_slices // 2
        padded = functional.pad(inputs, (reach, reach, 0, 0, 0, 0), mode="replicate")
        depth = inputs.shape[-1]
        neighbours = [
            padded.narrow(-1, first, depth) for first in range(self.settings.neighbour_slices)
        ]
        return torch.stack(neighbours, dim=2).flatten(1, 2)

    def _correct(self, inputs: Tensor) -> Tensor:
        factor = self.settings.stem_factor
        features = to_voxels(self.backbone(to_blocks(inputs, factor)), factor)
        corrected: Tensor = self.head(torch.cat([features, inputs.to(features.dtype)], dim=1))
        return corrected


def _allocate(shape: Sequence[int], device: torch.device) -> Tensor:
    """Float32, not filled; on the CPU NumPy's, which asks for large pages: they come faster."""
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, device=device)


def _slabs(volume: Tensor) -> Iterator[slice]:
    """Parts of a volume along its first axis, so small that a processor keeps one at hand.

    What is done to it in several steps then passes over the memory once. A GPU takes all of it.
    """
    size = volume.shape[2]
    depth = _SLAB if volume.device.type == "cpu" else size
    return (slice(first, first + depth) for first in range(0, size, depth))


def _margins(size: int, divisor: int) -> tuple[int, int]:
    """Voxels to add before and after, up to a multiple of ``divisor``."""
    missing = -size % divisor
    return missing // 2, missing - missing // 2


def to_blocks(voxels: Tensor, factor: int) -> Tensor:
    """The voxels of each block as channels.

    Args:
        voxels: Shape ``(n, c, i, j, k)`` or ``(n, c, i, j)``; also a kernel.
        factor: Edge of a block in voxels.

    Returns:
        Sizes divided by ``factor``, and as many more channels, those of one channel side by side.
    """
    pattern = f"{_VOXELS[voxels.ndim - 2]} -> {_BLOCKS[voxels.ndim - 2]}"
    return rearrange(voxels, pattern, **_edges(voxels, factor))


def to_voxels(blocks: Tensor, factor: int) -> Tensor:
    """Undo :func:`to_blocks`."""
    pattern = f"{_BLOCKS[blocks.ndim - 2]} -> {_VOXELS[blocks.ndim - 2]}"
    return rearrange(blocks, pattern, **_edges(blocks, factor))


def _edges(volume: Tensor, factor: int) -> dict[str, int]:
    return dict.fromkeys("abd"[: volume.ndim - 2], factor)


def _remove_norm(backbone: nn.Module) -> None:
    """Take normalisation out of MONAI's network; every residual block starts as the identity."""
    for module in list(backbone.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, nn.Identity())
        if isinstance(module, ResBlock):
            nn.init.zeros_(module.conv2.conv.weight)
