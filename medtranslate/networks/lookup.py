"""The voxel-wise map from source to target intensity that every prediction starts from."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

NUM_BINS = 64
"""Nodes of the map; fixed, so that the shape of the weights does not depend on the data."""

_VOXELS_PER_SUBJECT = 400_000
_MIN_VOXELS_PER_BIN = 20


class LookupMap(nn.Module):
    """Piecewise-linear map of source intensity to target intensity.

    Below the first and above the last node the end values are used.
    """

    nodes: Tensor
    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("nodes", torch.linspace(0, 1, NUM_BINS))
        self.register_buffer("values", torch.linspace(0, 1, NUM_BINS))

    def forward(self, source: Tensor) -> Tensor:
        """Map every voxel; any shape in, the same shape out."""
        first, last = self.nodes[0], self.nodes[-1]
        # In place, and by the fastest of torch's gathers: each step passes over all voxels.
        position = (source.float() - first).mul_((NUM_BINS - 1) / (last - first))
        lower = position.clamp_(0, NUM_BINS - 1).int()
        rises = torch.cat([self.values[1:], self.values[-1:]]) - self.values
        value, rise = (
            table.index_select(0, lower.flatten()).view_as(lower) for table in (self.values, rises)
        )
        return torch.addcmul(value, rise, position.sub_(lower))


def fit_lookup_map(
    cases: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], *, seed: int = 0
) -> LookupMap:
    """Fit the map to training subjects: the median of the target by source intensity.

    Args:
        cases: Per subject ``(source, target, mask)`` of equal shape, normalised intensities and a
            boolean mask.
        seed: Seed of the draw of voxels, so that every subject counts the same.

    Returns:
        The fitted map; bins with too few voxels are interpolated from their neighbours.

    Raises:
        ValueError: If there is no case.
    """
    sources, targets = [], []
    for number, (source, target, mask) in enumerate(cases):
        inside = np.flatnonzero(mask)
        generator = np.random.default_rng((seed, number))
        drawn = generator.choice(inside, size=_VOXELS_PER_SUBJECT, replace=True)
        sources.append(source.reshape(-1)[drawn])
        targets.append(target.reshape(-1)[drawn])
    if not sources:
        raise ValueError("no training case to fit the lookup map to")
    source, target = np.concatenate(sources), np.concatenate(targets)
    low, high = np.percentile(source.astype(np.float64), (0.1, 99.9))
    nodes = np.linspace(low, max(high, low + 1e-6), NUM_BINS)
    fitted = LookupMap()
    fitted.nodes.copy_(torch.from_numpy(nodes))
    fitted.values.copy_(torch.from_numpy(_median_by_bin(source, target, nodes)))
    return fitted


def _median_by_bin(source: np.ndarray, target: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    step = nodes[1] - nodes[0]
    bins = np.clip(np.rint((source - nodes[0]) / step), 0, len(nodes) - 1).astype(int)
    order = np.argsort(bins, kind="stable")
    parts = np.split(target[order], np.searchsorted(bins[order], np.arange(1, len(nodes))))
    filled = np.array([len(part) >= _MIN_VOXELS_PER_BIN for part in parts])
    medians = np.array([np.median(part) for part, full in zip(parts, filled, strict=True) if full])
    values: np.ndarray = np.interp(nodes, nodes[filled], medians)
    return values
