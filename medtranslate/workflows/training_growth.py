"""How reaction and diffusion are fitted to a cohort: each person's rates, then what is typical."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medtranslate.data.covariates import ConditionCode
from medtranslate.data.visits import VisitPair
from medtranslate.errors import CheckpointError, DatasetError
from medtranslate.geometry import Geometry
from medtranslate.methods.reaction_diffusion import (
    GrowthRates,
    ReactionDiffusionSettings,
    fit_rates,
    pool_rates,
)
from medtranslate.preprocess.cache import PreparedArrays
from medtranslate.workflows.cohort import Cohort
from medtranslate.workflows.cohort_change import COHORT_CHANGE_KEY, measure_cohort_mean
from medtranslate.workflows.progress import Progress
from medtranslate.workflows.speeds import SPEEDS_KEY, Speeds
from medtranslate.workflows.training_progression import CONDITIONS_KEY, INTERVALS_KEY

_RATES = ("diffusivity", "proliferation", "spread")


def fit_growth(
    settings: ReactionDiffusionSettings,
    cohort: Cohort,
    prepared: Mapping[str, PreparedArrays],
    *,
    progress: Progress,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The cohort's rates as weights, and what the model folder records beside them.

    Args:
        settings: Where fits start.
        cohort: Who trains; nobody validates, for there is nothing to choose.
        prepared: Their scans, with labels of both visits.
        progress: Told how far things are.

    Raises:
        DatasetError: If a training pair lacks the region at a visit.
    """
    pairs = [cohort.pairs[case.name] for case in cohort.part("train")]
    progress.stage("fit", len(pairs))
    rates = []
    for number, pair in enumerate(pairs):
        progress.update(number, pair.name)
        rates.append(_fit_pair(settings, pair, prepared[pair.name]))
    progress.update(len(pairs))
    pooled = pool_rates(rates)
    intervals = [pair.interval_years for pair in pairs]
    people = [(pair.name, prepared[pair.name], pair.interval_years) for pair in pairs]
    return (
        {name: torch.tensor(getattr(pooled, name)) for name in _RATES},
        {
            CONDITIONS_KEY: ConditionCode({}).to_json(),
            INTERVALS_KEY: [min(intervals), max(intervals)],
            SPEEDS_KEY: Speeds(pooled.spread, len(pairs)).to_json(),
            COHORT_CHANGE_KEY: measure_cohort_mean(people).to_json(),
        },
    )


def rates_from_weights(weights: Mapping[str, Tensor]) -> GrowthRates:
    """The rates that a model folder holds.

    Raises:
        CheckpointError: If it holds other weights.
    """
    if set(weights) != set(_RATES):
        raise CheckpointError(f"expected the weights {', '.join(_RATES)}, got {sorted(weights)}")
    return GrowthRates(**{name: float(weights[name]) for name in _RATES})


def _fit_pair(
    settings: ReactionDiffusionSettings, pair: VisitPair, arrays: PreparedArrays
) -> GrowthRates:
    if arrays.label is None or arrays.later is None:
        raise DatasetError(f"{pair.name}: a visit has no label; label it, or leave the person out")
    earlier, later = (image[0].numpy() >= 0.5 for image in (arrays.label, arrays.later))
    if not (earlier.any() and later.any()):
        raise DatasetError(f"{pair.name}: the label of a visit is empty; leave the person out")
    return fit_rates(
        earlier,
        later,
        where_cells_go(arrays.mask[0].numpy() > 0),
        years=pair.interval_years,
        spacing=spacing_of(arrays.affine, earlier.shape),
        typical=settings.typical,
    )


def where_cells_go(inside: np.ndarray) -> np.ndarray:
    """Diffusivity relative to white matter: 1 in the mask, for any contrast, and 0 outside."""
    relative: np.ndarray = inside.astype(np.float64)
    return relative


def spacing_of(affine: np.ndarray, shape: tuple[int, ...]) -> tuple[float, float, float]:
    """Voxel size of a model grid, millimetres."""
    return Geometry((shape[0], shape[1], shape[2]), affine).spacing
