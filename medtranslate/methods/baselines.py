"""What a method must beat: copying the source, matching its histogram, and two voxel-wise maps.

All work in normalised intensities on the model grid, as methods do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skimage.exposure import match_histograms
from torch import Tensor

from medtranslate.errors import CheckpointError
from medtranslate.networks.inputs import make_inputs
from medtranslate.networks.lookup import NUM_BINS, LookupMap

COPY_SOURCE = "copy of the source"
HISTOGRAM_MATCH = "histogram match"
LOOKUP_MAP = "lookup map"
RANK_MAP = "rank map"

BASELINES = (COPY_SOURCE, HISTOGRAM_MATCH, LOOKUP_MAP, RANK_MAP)
"""Names of the baselines, in the order of tables."""

_NUM_QUANTILES = 1001


@dataclass(frozen=True, eq=False)
class HistogramMatch:
    """Give the source the distribution of the training cohort's targets.

    Attributes:
        quantiles: Shape ``(n,)``, ascending; evenly spaced quantiles of the normalised target
            inside the mask, each training subject counting the same.
    """

    quantiles: np.ndarray

    def __call__(self, source: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Map the voxels inside the mask; the rest becomes 0, the background.

        Args:
            source: Normalised intensities of any shape.
            mask: Boolean, same shape; decides whose histogram is matched.

        Returns:
            Same shape, float32.

        Raises:
            ValueError: If the mask is empty.
        """
        if not mask.any():
            raise ValueError("mask is empty: no histogram to match")
        matched = np.zeros(source.shape, np.float32)
        matched[mask] = match_histograms(source[mask].astype(np.float64), self.quantiles)
        return matched

    def to_json(self) -> dict[str, Any]:
        """Plain data for the model's configuration."""
        return {"quantiles": [float(value) for value in self.quantiles]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HistogramMatch:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: If the data does not hold at least two ascending numbers.
        """
        quantiles = np.asarray(data.get("quantiles"), dtype=np.float64)
        if quantiles.ndim != 1 or len(quantiles) < 2 or not (np.diff(quantiles) >= 0).all():
            raise ValueError("histogram match needs at least two ascending quantiles")
        return cls(quantiles)


def fit_histogram_match(cases: Iterable[tuple[np.ndarray, np.ndarray]]) -> HistogramMatch:
    """Pool the targets of the training subjects.

    Args:
        cases: Per subject ``(target, mask)`` of equal shape: normalised intensities and a boolean
            mask.

    Raises:
        ValueError: If there is no case or a mask is empty.
    """
    levels = np.linspace(0, 1, _NUM_QUANTILES)
    pooled = [np.quantile(target[mask].astype(np.float64), levels) for target, mask in cases]
    if not pooled:
        raise ValueError("no training case to take the histogram from")
    # Every subject contributes as many values, so the quantiles of the pool weigh people equally.
    return HistogramMatch(np.quantile(np.concatenate(pooled), levels))


def lookup_from_weights(weights: Mapping[str, Tensor], *, prefix: str) -> LookupMap:
    """One of the voxel-wise maps that a generator's predictions start from, out of its weights.

    Args:
        weights: The generator's.
        prefix: ``lookup.`` for the map of intensities, ``rank_lookup.`` for that of ranks.

    Raises:
        CheckpointError: If the weights hold none.
    """
    lookup = LookupMap()
    try:
        nodes, values = weights[f"{prefix}nodes"], weights[f"{prefix}values"]
    except KeyError as error:
        raise CheckpointError(f"the model's weights hold no {error}; train it again") from error
    if nodes.shape != (NUM_BINS,) or values.shape != (NUM_BINS,):
        raise CheckpointError(
            f"the lookup map of the model has {nodes.shape} nodes, not {NUM_BINS}"
        )
    lookup.nodes.copy_(nodes)
    lookup.values.copy_(values)
    return lookup


def predict_baselines(
    source: Tensor,
    mask: Tensor,
    *,
    histogram: HistogramMatch,
    lookup: LookupMap,
    rank_lookup: LookupMap,
) -> dict[str, Tensor]:
    """Predict with every baseline.

    Args:
        source: Shape ``(1, i, j, k)``, normalised.
        mask: Same shape; positive inside.
        histogram: Fitted to the training split.
        lookup: Fitted to the intensities of the training split.
        rank_lookup: Fitted to their ranks.

    Returns:
        By the names in ``BASELINES``, shape ``(1, i, j, k)``, normalised target intensity.
    """
    plain = source.as_subclass(Tensor).detach().float().cpu()
    inside = mask.as_subclass(Tensor).detach().cpu().numpy() > 0
    with torch.no_grad():
        return {
            COPY_SOURCE: plain.clone(),
            HISTOGRAM_MATCH: torch.from_numpy(histogram(plain.numpy(), inside)),
            LOOKUP_MAP: lookup(plain),
            RANK_MAP: rank_lookup(make_inputs(plain, mask.cpu())[1:]),
        }
