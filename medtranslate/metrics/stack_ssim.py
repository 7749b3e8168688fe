"""SSIM of every slice and of the whole volume in one pass that shares what both need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medtranslate.metrics.similarity import (
    average_locally,
    bounding_box,
    compare_means,
    multiply_pair,
    ssim_map,
)
from medtranslate.metrics.yardstick import Yardstick

_SLAB_THICKNESS = 16
"""Slices of the 3-D map made at once; with those around them they still fit the cache."""


@dataclass(frozen=True)
class SliceSsim:
    """Similarity of one slice, at most 1; higher is better.

    Attributes:
        masked: Mean of the map over the mask, both images set to background outside it.
        whole: Mean of the map of the slice as it is, without its border.
    """

    masked: float
    whole: float


@dataclass(frozen=True)
class StackedSlice:
    """A slice and its part in the volume.

    Attributes:
        index: As the yardstick counts.
        ssim: Of the slice on its own; None if it is not scored.
        in_volume: Sum over its mask voxels of the map that is made in 3-D.
    """

    index: int
    ssim: SliceSsim | None
    in_volume: float


@dataclass(frozen=True, eq=False)
class _Plane:
    """Local means along rows and columns of a slice that is background outside its mask.

    Attributes:
        box: Rows and columns that the mask can reach; beyond them all is background.
        means: Shape ``(4, rows, columns)`` of the box, see ``multiply_pair``.
    """

    box: tuple[slice, ...]
    means: np.ndarray


def score_stack(
    yardstick: Yardstick, prediction: np.ndarray, slices: range
) -> Iterator[StackedSlice]:
    """Similarity of neighbouring slices, each with its part in the similarity of the volume.

    The Gaussian window is a product of three, so the means along rows and columns that a slice
    needs are two thirds of the work that the volume needs. A value does not depend on how the
    slices of a scan are shared out among calls.

    Args:
        yardstick: The reference, made ready.
        prediction: What :meth:`Yardstick.bring` returned.
        slices: Which to score, step 1; the window looks beyond them.

    Yields:
        Each of them that has mask voxels.
    """
    radius = yardstick.protocol.ssim_window.radius
    planes: dict[int, _Plane] = {}
    for start in range(slices.start, slices.stop, _SLAB_THICKNESS):
        slab = range(start, min(start + _SLAB_THICKNESS, slices.stop))
        covered = [index for index in slab if yardstick.mask[index].any()]
        if not covered:
            continue
        seen = [
            _mirror(index, len(prediction)) for index in range(start - radius, slab.stop + radius)
        ]
        planes = {
            index: planes[index] if index in planes else _average(yardstick, prediction, index)
            for index in seen
        }
        sums = _sum_in_volume(yardstick, slab, [planes[index] for index in seen])
        for index in covered:
            scored = yardstick.scored[index]
            ssim = _compare(yardstick, prediction, index, planes[index]) if scored else None
            yield StackedSlice(index, ssim, sums[index])


def compare_slices(yardstick: Yardstick, prediction: np.ndarray, index: int) -> SliceSsim:
    """Similarity of one slice.

    The whole slice is averaged without its border, as scikit-image does it; a direction thinner
    than the window loses less of its border, so that a voxel is left. Where both images are nothing
    but background the map is exactly 1 and is not made; where nothing lies outside the mask, one
    map serves both.

    Args:
        yardstick: The reference, made ready.
        prediction: What :meth:`Yardstick.bring` returned.
        index: Of a slice that has mask voxels.
    """
    return _compare(yardstick, prediction, index, _average(yardstick, prediction, index))


def _mirror(index: int, size: int) -> int:
    """The slice that stands for one beyond the edge: ``2 1 0 | 0 1 2``."""
    inside = index % (2 * size)
    return inside if inside < size else 2 * size - 1 - inside


def _average(yardstick: Yardstick, prediction: np.ndarray, index: int) -> _Plane:
    mask = yardstick.mask[index]
    window = yardstick.protocol.ssim_window
    if not mask.any():
        return _Plane((slice(0, 0), slice(0, 0)), np.empty((4, 0, 0)))
    box = bounding_box(mask, margin=window.radius)
    inside = mask[box]
    products = multiply_pair(
        np.where(inside, yardstick.reference[index][box], yardstick.background),
        np.where(inside, prediction[index][box], yardstick.background),
    )
    return _Plane(box, average_locally(products, window, axes=(1, 2)))


def _sum_in_volume(
    yardstick: Yardstick, slab: range, planes: Sequence[_Plane]
) -> Mapping[int, float]:
    """Sum of the 3-D map over the mask of each slice, from all that its window sees."""
    window = yardstick.protocol.ssim_window
    mask = yardstick.mask[slab.start : slab.stop]
    box = bounding_box(np.logical_or.reduce(mask))
    stacked = _stack(planes, box, yardstick.background)
    inner = slice(window.radius, window.radius + len(slab))
    means = average_locally(stacked, window, axes=(0,))[inner]
    sums = {}
    for index, inside, one in zip(slab, mask[:, *box], means, strict=True):
        similarity = compare_means(one, data_range=yardstick.data_range, window=window)
        sums[index] = float(similarity[inside].sum())
    return sums


def _stack(planes: Sequence[_Plane], box: tuple[slice, ...], background: float) -> np.ndarray:
    """The planes cut to one box, shape ``(slices, 4, rows, columns)``."""
    shape = [edge.stop - edge.start for edge in box]
    level = np.full((1, 1), background)
    empty = multiply_pair(level, level)
    stacked = np.empty((len(planes), 4, *shape))
    for target, plane in zip(stacked, planes, strict=True):
        into, out_of = zip(*map(_overlap, box, plane.box), strict=True)
        target[:] = empty
        target[:, *into] = plane.means[:, *out_of]
    return stacked


def _overlap(wanted: slice, given: slice) -> tuple[slice, slice]:
    """What two ranges share, counted from the start of each."""
    first = max(wanted.start, given.start)
    last = max(first, min(wanted.stop, given.stop))
    return (
        slice(first - wanted.start, last - wanted.start),
        slice(first - given.start, last - given.start),
    )


def _compare(yardstick: Yardstick, prediction: np.ndarray, index: int, plane: _Plane) -> SliceSsim:
    window, data_range = yardstick.protocol.ssim_window, yardstick.data_range
    reference, predicted = yardstick.reference[index], prediction[index]
    mask, background = yardstick.mask[index], yardstick.background
    box = plane.box
    similarity = compare_means(plane.means, data_range=data_range, window=window)
    masked = float(similarity[mask[box]].mean())
    support = (reference != background) | (predicted != background)
    if (support & ~mask).any():
        box = bounding_box(support | mask, margin=window.radius)
        similarity = ssim_map(reference[box], predicted[box], data_range=data_range, window=window)
    whole = _mean_without_border(similarity, box, mask.shape, border=window.radius)
    return SliceSsim(masked, whole)


def _mean_without_border(
    similarity: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...], *, border: int
) -> float:
    """Mean of a map known inside ``box`` and 1 outside it, over all but the border of ``shape``."""
    inner = []
    num_voxels = 1
    for edge, size in zip(box, shape, strict=True):
        cut = min(border, (size - 1) // 2)
        num_voxels *= size - 2 * cut
        first, last = max(edge.start, cut), min(edge.stop, size - cut)
        inner.append(slice(first - edge.start, max(first, last) - edge.start))
    seen = similarity[tuple(inner)]
    return float((seen.sum() + (num_voxels - seen.size)) / num_voxels)
