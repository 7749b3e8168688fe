"""Whether two scans can be of one head in one contrast, told on a coarse grid without aligning."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, stats

from medtranslate.volume import Volume

_STEP_MM = 6.0
_HALF_MM = 72.0
_NUM_BINS = 16
_SAMPLES = 60


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A scan on a coarse grid about its own middle.

    Attributes:
        values: Shape ``(n,)``; local means, in the scan's unit.
        inside: Boolean, same shape; above a tenth of the range.
        volume_ml: Volume above a tenth of the range, in the whole scan.
    """

    values: np.ndarray
    inside: np.ndarray
    volume_ml: float


@dataclass(frozen=True)
class Likeness:
    """How alike two thumbnails are, over what either shows.

    Attributes:
        rank_correlation: Spearman's; high for the same contrast, whatever the scale.
        information: Normalised mutual information ``(H(a) + H(b)) / H(a, b)`` of the ranks, 1 to
            2; high for the same head, whatever the contrast.
        volume_ratio: Volume of the second over that of the first.
    """

    rank_correlation: float
    information: float
    volume_ratio: float


def make_thumbnail(volume: Volume) -> Thumbnail | None:
    """The thumbnail of a scan, None if there is nothing in it."""
    voxels, affine = volume.voxels.astype(np.float32), volume.geometry.affine
    steps = [max(1, n // _SAMPLES) for n in volume.geometry.shape]
    sampled = voxels[:: steps[0], :: steps[1], :: steps[2]]
    low, high = np.percentile(sampled, [1.0, 99.5])
    threshold = max(low, 0.0) + 0.1 * (high - max(low, 0.0))
    places = np.argwhere(sampled > threshold) * steps
    if high <= low or not len(places):
        return None
    centre = affine[:3, :3] @ places.mean(axis=0) + affine[:3, 3]
    size = [max(1, round(_STEP_MM / spacing)) for spacing in volume.geometry.spacing]
    axis = np.arange(-_HALF_MM, _HALF_MM + 0.5 * _STEP_MM, _STEP_MM)
    world = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1)
    index = np.linalg.solve(affine[:3, :3], world + (centre - affine[:3, 3])[:, None])
    values = ndimage.map_coordinates(
        ndimage.uniform_filter(voxels, size, mode="nearest"), index, order=1, mode="constant"
    )
    millilitres = math.prod(volume.geometry.spacing) / 1000.0
    return Thumbnail(
        values, values > threshold, float(np.count_nonzero(voxels > threshold) * millilitres)
    )


def compare_thumbnails(one: Thumbnail, two: Thumbnail) -> Likeness:
    """How alike two scans are; heads may lie apart, but should be turned alike."""
    either = one.inside | two.inside
    ranks = [stats.rankdata(thumbnail.values[either]) for thumbnail in (one, two)]
    joint, _, _ = np.histogram2d(ranks[0], ranks[1], bins=_NUM_BINS)
    joint /= joint.sum()
    both = _entropy(joint)
    apart = _entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))
    flat = any(np.ptp(rank) == 0 for rank in ranks)
    return Likeness(
        rank_correlation=0.0 if flat else float(np.corrcoef(ranks[0], ranks[1])[0, 1]),
        information=apart / both if both > 0 else 1.0,
        volume_ratio=two.volume_ml / one.volume_ml,
    )


def _entropy(shares: np.ndarray) -> float:
    held = shares[shares > 0]
    return float(-(held * np.log(held)).sum())
