"""Score one prediction, slice by slice and as a volume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.similarity import (
    masked_ssim,
    mean_absolute_error,
    mean_error,
    peak_signal_to_noise,
    slice_ssim,
)
from medtranslate.metrics.yardstick import Yardstick, make_yardstick, require_same_grid
from medtranslate.volume import IntensityScale, Volume

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
    """Score one of several predictions against the same yardstick.

    The 3-D scores are made in a second thread beside the slices; NumPy and SciPy let both run.

    Args:
        yardstick: The reference, made ready.
        prediction: What :meth:`Yardstick.bring` returned.
    """
    with ThreadPoolExecutor(max_workers=1) as second:
        volume = second.submit(_score_volume, yardstick, prediction)
        slices = tuple(score_slices(yardstick, prediction))
    return CaseScores(slices=slices, values=average_slices(slices) | volume.result())


def average_slices(slices: Sequence[SliceScores]) -> dict[str, float]:
    """Mean of each of ``SLICE_MEASURES`` over the slices that count, at least one."""
    return {
        name: float(np.mean([row.values[name] for row in slices if row.scored]))
        for name in SLICE_MEASURES
    }


def score_slices(yardstick: Yardstick, prediction: np.ndarray) -> Iterator[SliceScores]:
    """Score every slice, in file order; arguments as :func:`score_against`."""
    triples = zip(yardstick.reference, prediction, yardstick.mask, strict=True)
    for index, (reference, predicted, mask) in enumerate(triples):
        scored = bool(yardstick.scored[index])
        yield SliceScores(
            index=index,
            mask_voxels=int(np.count_nonzero(mask)),
            scored=scored,
            values=_score_slice(yardstick, reference, predicted, mask) if scored else {},
        )


def _score_slice(
    yardstick: Yardstick, reference: np.ndarray, prediction: np.ndarray, mask: np.ndarray
) -> dict[str, float]:
    data_range = yardstick.data_range
    real, synthetic = reference[mask], prediction[mask]
    ssim, ssim_full = slice_ssim(
        reference,
        prediction,
        mask,
        data_range=data_range,
        window=yardstick.protocol.ssim_window,
        background=yardstick.background,
    )
    return {
        "psnr": peak_signal_to_noise(real, synthetic, data_range=data_range),
        "ssim": ssim,
        "mae": mean_absolute_error(real, synthetic),
        "psnr_full": peak_signal_to_noise(reference, prediction, data_range=data_range),
        "ssim_full": ssim_full,
    }


def _score_volume(yardstick: Yardstick, prediction: np.ndarray) -> dict[str, float]:
    mask = yardstick.mask
    real, synthetic = yardstick.reference[mask], prediction[mask]
    return {
        "psnr_volume": peak_signal_to_noise(real, synthetic, data_range=yardstick.data_range),
        "ssim_volume": masked_ssim(
            yardstick.reference,
            prediction,
            mask,
            data_range=yardstick.data_range,
            window=yardstick.protocol.ssim_window,
            background=yardstick.background,
        ),
        "mae_volume": mean_absolute_error(real, synthetic),
        "me_volume": mean_error(real, synthetic),
    }
