"""How much faster or slower people change than a model expects: the spread of simulated futures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from medtranslate.methods.progression import Future
from medtranslate.preprocess.cache import PreparedArrays
from medtranslate.workflows.foresight import Foresight
from medtranslate.workflows.training_start import training_mask

SPEEDS_KEY = "speeds"
"""Key of the model's configuration that holds the spread of people's speeds."""

_TRIED = np.geomspace(0.25, 4.0, 13)
_LEAST_SD = 0.05
_UNKNOWN_SD = 0.35


class Simulates(Protocol):
    """What a model says of one baseline."""

    def at(self, years: float, *, speed: float = 1.0) -> Future:
        """The baseline some years on."""


@dataclass(frozen=True)
class Speeds:
    """A log-normal spread of the speed of disease, 1 being what the model expects.

    Attributes:
        log_sd: Standard deviation of the logarithm.
        num_pairs: Pairs of visits it was measured on; 0 if it is assumed.
    """

    log_sd: float
    num_pairs: int

    def draw(self, count: int, *, seed: int) -> np.ndarray:
        """Speeds of so many simulated futures, ``(count,)``; noise of mean 0 in the exponent."""
        noise = np.random.default_rng(seed).standard_normal(count)
        speeds: np.ndarray = np.exp(self.log_sd * noise)
        return speeds

    def to_json(self) -> dict[str, Any]:
        """Plain data for the model's configuration."""
        return {"log_sd": self.log_sd, "num_pairs": self.num_pairs}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Speeds:
        """The inverse of :meth:`to_json`; raises ValueError where the data does not fit."""
        try:
            return cls(float(data["log_sd"]), int(data["num_pairs"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"speeds need log_sd and num_pairs, got {data}") from error


def measure_speeds(people: Iterable[tuple[Foresight, PreparedArrays, float]]) -> Speeds:
    """Find for each pair of visits the speed at which the model fits best, and their spread.

    A person's speed is the one of 13 between a quarter and four times at which the mean squared
    difference to the real follow-up is least. About the expected speed 1, not about their mean:
    a model that is wrong on average has the wider spread that it deserves.

    References:
        Schiratti et al., JMLR 18:133, 2017 (speeds of progression that are log-normal).
    """
    logs = [np.log(_fit_speed(*person)) for person in people]
    if len(logs) < 2:
        return Speeds(_UNKNOWN_SD, 0)
    return Speeds(max(float(np.sqrt(np.mean(np.square(logs)))), _LEAST_SD), len(logs))


def _fit_speed(foresight: Foresight, arrays: PreparedArrays, years: float) -> float:
    return find_scan_speed(
        foresight,
        source=arrays.source,
        target=arrays.target if arrays.target is not None else arrays.source,
        mask=training_mask(arrays),
        years=years,
    )


def find_scan_speed(
    foresight: Simulates,
    *,
    source: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor,
    years: float,
) -> float:
    """The speed at which a baseline, let go, resembles another visit most; 1 if none helps.

    Args:
        foresight: What the model says of the baseline.
        source: Shape ``(1, i, j, k)``; the baseline, normalised.
        target: Same shape and unit; the other visit.
        mask: Same shape, above 0 where both are known.
        years: From the baseline to the other visit; negative if it was before.
    """
    inside = mask[0] > 0
    real = target[0][inside]
    errors = [
        float(torch.mean((foresight.at(years, speed=float(speed)).image[0, 0][inside] - real) ** 2))
        for speed in _TRIED
    ]
    nothing = float(torch.mean((source[0][inside] - real) ** 2))
    if min(errors) >= nothing:  # the model says nothing that helps: no speed can be told
        return 1.0
    return float(_TRIED[int(np.argmin(errors))])
