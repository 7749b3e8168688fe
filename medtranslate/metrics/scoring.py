"""Score one prediction, slice by slice and as a volume."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Literal

import numpy as np

from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.similarity import (
    mean_absolute_error,
    mean_error,
    peak_signal_to_noise,
)
from medtranslate.metrics.stack_ssim import SliceSsim, compare_slices, score_stack
from medtranslate.metrics.yardstick import Yardstick, make_yardstick, require_same_grid
from medtranslate.volume import IntensityScale, Volume

_FEWEST_SLICES = 32
"""Slices of a thread's share; it also looks at those the window reaches beyond it."""

Better = Literal["higher", "lower", "closer to 0"]


@dataclass(frozen=True)
class Measure:
    """What a column of scores means.

    Attributes:
        label: For people.
        better: Which direction is good.
        unit: Of MR; ``intensity`` stands for HU in CT and for the scaled range in MR.
    """

    label: str
    better: Better
    unit: Literal["dB", "", "intensity"]


SLICE_MEASURES: dict[str, Measure] = {
    "psnr": Measure("PSNR", "higher", "dB"),
    "ssim": Measure("SSIM", "higher", ""),
    "mae": Measure("MAE", "lower", "intensity"),
    "psnr_full": Measure("PSNR, whole slice", "higher", "dB"),
    "ssim_full": Measure("SSIM, whole slice", "higher", ""),
}
"""Scores of a slice; a case has the mean of each over its scored slices."""

VOLUME_MEASURES: dict[str, Measure] = {
    "psnr_volume": Measure("PSNR, volume", "higher", "dB"),
    "ssim_volume": Measure("SSIM, volume", "higher", ""),
    "mae_volume": Measure("MAE, volume", "lower", "intensity"),
    "me_volume": Measure("ME, volume", "closer to 0", "intensity"),
}
"""Scores of the whole volume at once."""

MEASURES: dict[str, Measure] = SLICE_MEASURES | VOLUME_MEASURES
"""Everything a case is scored by."""


@dataclass(frozen=True)
class SliceScores:
    """Scores of one slice.

    Attributes:
        index: Along the voxel axis, as the file counts, from 0.
        mask_voxels: Voxels of the slice in the mask.
        scored: Whether the slice counts; ``values`` is empty if not.
        values: By the keys of ``SLICE_MEASURES``; PSNR is infinite where the slices are equal.
    """

    index: int
    mask_voxels: int
    scored: bool
    values: dict[str, float]


@dataclass(frozen=True)
class CaseScores:
    """Scores of one prediction.

    Attributes:
        slices: Every slice in file order.
        values: By the keys of ``MEASURES``.
    """

    slices: tuple[SliceScores, ...]
    values: dict[str, float]

    @property
    def num_scored(self) -> int:
        """Slices that count."""
        return sum(row.scored for row in self.slices)

    @property
    def num_identical(self) -> int:
        """Scored slices whose masked voxels equal the reference, so that PSNR is infinite."""
        return sum(row.scored and row.values["psnr"] == float("inf") for row in self.slices)


def score_case(
    reference: Volume,
    prediction: Volume,
    mask: np.ndarray,
    *,
    protocol: Protocol,
    prediction_scale: IntensityScale | None = None,
) -> CaseScores:
    """Score a prediction against its reference.

    Args:
        reference: One channel, any orientation; CT is known by its unit ``HU``.
        prediction: On the same grid.
        mask: Boolean, shape ``(i, j, k)``.
        protocol: The rule.
        prediction_scale: What its sidecar records; needed by scale ``sidecar`` unless CT.

    Raises:
        GeometryError: If the grids differ or the mask does not fit.
        ConfigError: If the protocol lacks a data range that it needs.
        DatasetError: If intensities cannot be scored; the message says why.
    """
    require_same_grid(reference.geometry, prediction.geometry, what="prediction")
    yardstick = make_yardstick(reference, mask, protocol)
    return score_against(yardstick, yardstick.bring(prediction.voxels, scale=prediction_scale))


def score_against(yardstick: Yardstick, prediction: np.ndarray) -> CaseScores:
    """Score one of several predictions against the same yardstick, on every processor.

    Slices are shared out among threads, which NumPy and SciPy let run side by side. The scores do
    not depend on how many there are.

    Args:
        yardstick: The reference, made ready.
        prediction: What :meth:`Yardstick.bring` returned.
    """
    parts = _share_out(len(prediction))
    with ThreadPoolExecutor(len(parts)) as pool:
        found = pool.map(lambda part: list(score_stack(yardstick, prediction, part)), parts)
        errors = _measure_errors(yardstick, prediction)
        stacked = {one.index: one for one in chain.from_iterable(found)}
    slices = tuple(
        _score_slice(
            yardstick, prediction, index, stacked[index].ssim if index in stacked else None
        )
        for index in range(len(prediction))
    )
    similarity = math.fsum(one.in_volume for one in stacked.values())
    volume = {"ssim_volume": similarity / int(np.count_nonzero(yardstick.mask)), **errors}
    values = average_slices(slices) | volume
    return CaseScores(slices=slices, values={name: values[name] for name in MEASURES})


def _share_out(num_slices: int) -> list[range]:
    """One range of slices for each processor, none so short that its edges cost more than it."""
    count = max(1, min(os.cpu_count() or 1, num_slices // _FEWEST_SLICES))
    edges = [num_slices * part // count for part in range(count + 1)]
    return [range(*pair) for pair in pairwise(edges)]


def average_slices(slices: Sequence[SliceScores]) -> dict[str, float]:
    """Mean of each of ``SLICE_MEASURES`` over the slices that count, at least one."""
    return {
        name: float(np.mean([row.values[name] for row in slices if row.scored]))
        for name in SLICE_MEASURES
    }


def score_slices(yardstick: Yardstick, prediction: np.ndarray) -> Iterator[SliceScores]:
    """Score every slice, in file order, not the volume; arguments as :func:`score_against`."""
    for index in range(len(prediction)):
        scored = yardstick.scored[index]
        ssim = compare_slices(yardstick, prediction, index) if scored else None
        yield _score_slice(yardstick, prediction, index, ssim)


def _score_slice(
    yardstick: Yardstick, prediction: np.ndarray, index: int, ssim: SliceSsim | None
) -> SliceScores:
    """All scores of a slice whose similarity in the mask and as a whole is known."""
    mask, data_range = yardstick.mask[index], yardstick.data_range
    count = int(np.count_nonzero(mask))
    if ssim is None:
        return SliceScores(index, count, scored=False, values={})
    whole = yardstick.reference[index], prediction[index]
    inside = whole[0][mask], whole[1][mask]
    values = {
        "psnr": peak_signal_to_noise(*inside, data_range=data_range),
        "ssim": ssim.masked,
        "mae": mean_absolute_error(*inside),
        "psnr_full": peak_signal_to_noise(*whole, data_range=data_range),
        "ssim_full": ssim.whole,
    }
    return SliceScores(index, count, scored=True, values=values)


def _measure_errors(yardstick: Yardstick, prediction: np.ndarray) -> dict[str, float]:
    """The scores of the volume that are no similarity."""
    real, synthetic = yardstick.reference[yardstick.mask], prediction[yardstick.mask]
    return {
        "psnr_volume": peak_signal_to_noise(real, synthetic, data_range=yardstick.data_range),
        "mae_volume": mean_absolute_error(real, synthetic),
        "me_volume": mean_error(real, synthetic),
    }
