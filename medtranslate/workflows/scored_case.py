"""One case to score: the real scan, the predictions and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from medtranslate.volume import IntensityScale, Volume


@dataclass(frozen=True, eq=False)
class ScoredCase:
    """One case to score.

    Attributes:
        name: Unique, fit for a table.
        subject: Person; the unit over which intervals are drawn.
        reference: The real scan; CT is known by its unit ``HU``.
        predictions: Method to prediction and the scale its sidecar records. The first is the
            model, the others are baselines; the same methods for every case.
        mask: Boolean, shape ``(i, j, k)``; the reference's foreground if None.
        source: What the prediction was made from, on the same grid, for the pictures.
        context: Facts for the cohort table of the report, column to value.
    """

    name: str
    subject: str
    reference: Volume
    predictions: Mapping[str, tuple[Volume, IntensityScale | None]]
    mask: np.ndarray | None = None
    source: Volume | None = None
    context: Mapping[str, str] = field(default_factory=dict)
