"""Intervals of stated coverage from standard deviations: split-conformal prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Nominal coverages for which factors are kept."""

SMALLEST_MEDIAN = 1e-3
"""A smaller median deviation counts as this, in the normalised unit (CT: about 4 HU)."""

FLOORS = (0.25, 1.0, 4.0, 16.0, 64.0, 256.0)
"""Floors that are tried, in median deviations; the last makes all intervals as good as equal."""

_FLOOR_LEVEL = 0.9

_VOXELS_OF_A_PERSON = 500_000


@dataclass(frozen=True)
class Calibration:
    """Factors that turn a standard deviation into the half width of an interval.

    Attributes:
        floor: Added to every standard deviation, in the normalised unit; positive, so that an
            interval has a width even where all predictions agree.
        factors: Nominal coverage, one of ``LEVELS``, to factor; rising.
        num_people: Validation people they come from.
        num_voxels: Voxels they come from.

    Raises:
        ValueError: If a number is missing, not finite, of the wrong sign or out of order.
    """

    floor: float
    factors: Mapping[float, float]
    num_people: int
    num_voxels: int

    def __post_init__(self) -> None:
        """Refuse factors from which no interval can be made."""
        factors = [self.factors.get(level, np.nan) for level in LEVELS]
        if len(self.factors) != len(LEVELS) or not np.isfinite(factors).all():
            raise ValueError(f"expected one finite factor for each of {LEVELS}, got {self.factors}")
        if min(factors) < 0 or (np.diff(factors) < 0).any():
            raise ValueError(f"factors must rise from 0 with the level, got {self.factors}")
        if not (np.isfinite(self.floor) and self.floor > 0):
            raise ValueError(f"floor is {self.floor}, expected a positive number")
        if self.num_people < 1 or self.num_voxels < 1:
            raise ValueError("expected at least one validation person and one voxel")

    def half_width(self, sd: np.ndarray, level: float) -> np.ndarray:
        """Half the width of the interval around each voxel's prediction.

        ``factor * (sd + floor)``: the interval is the prediction plus and minus this.

        Args:
            sd: Any shape, standard deviation in the normalised unit.
            level: Nominal coverage, one of ``LEVELS``.

        Returns:
            Same shape and unit.
        """
        return np.asarray(self.factors[level] * (sd + self.floor))

    def to_json(self) -> dict[str, Any]:
        """Plain data; levels in percent."""
        return {
            "floor": self.floor,
            "factors": {f"{100 * level:g}": self.factors[level] for level in LEVELS},
            "num_people": self.num_people,
            "num_voxels": self.num_voxels,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: If a key is missing or a value is not usable.
        """
        try:
            factors = {level: float(data["factors"][f"{100 * level:g}"]) for level in LEVELS}
            return cls(
                float(data["floor"]), factors, int(data["num_people"]), int(data["num_voxels"])
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"calibration lacks or misstates {error}") from error


def calibrate(people: Iterable[tuple[np.ndarray, np.ndarray]], *, seed: int = 0) -> Calibration:
    """Factors under which intervals would have held the truth of the validation people.

    The score of a voxel is ``|error| / (sd + floor)``; the factor of a level is its conformal
    quantile over the voxels of all people, each person weighing the same however large.

    The spread of few predictions is small by chance in many voxels, and may say little of the
    error. Of ``FLOORS``, times the median deviation, that floor is taken which makes the 90 %
    intervals of the validation people narrowest on average; the smallest of those equally narrow.

    The guarantee of conformal prediction holds for what is exchangeable with the calibration
    scores. Voxels of one person are not exchangeable with those of another: coverage on new people
    must be measured (:func:`coverage`).

    Args:
        people: For each validation person the standard deviations and the absolute errors of the
            voxels in the mask, equally long, in the normalised unit. Of more than half a million
            voxels of a person as many are drawn.
        seed: Of the draws.

    Raises:
        ValueError: If there is nobody, or so few voxels that the interval of a level is infinite.
    """
    generator = np.random.default_rng(seed)
    drawn = [_draw(sd, error, generator) for sd, error in people]
    if not drawn:
        raise ValueError("there is nobody to calibrate on")
    sds, errors = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    weights = np.concatenate([np.full(len(sd), 1 / len(sd)) for sd, _ in drawn])
    floor = _choose_floor(sds, errors, weights)
    scores = errors / (sds + floor)
    factors = conformal_quantiles(scores, LEVELS, weights=weights)
    return Calibration(
        floor, dict(zip(LEVELS, factors.tolist(), strict=True)), len(drawn), scores.size
    )


def conformal_quantiles(
    scores: np.ndarray, levels: Iterable[float], *, weights: np.ndarray | None = None
) -> np.ndarray:
    """Least value that a new score stays below or at with at least a given probability.

    With n scores that weigh the same, the ``ceil((n + 1) level)``-th smallest (Vovk, Gammerman &
    Shafer, Algorithmic Learning in a Random World, 2005; Angelopoulos & Bates, Found Trends Mach
    Learn 2023;16:494-591). With weights, the least score that reaches ``level (1 + 1/n)`` of the
    total weight: the new score weighs as much as an average one and may be the largest.

    Args:
        scores: Shape ``(n,)``, not NaN.
        levels: Probabilities, above 0 and below 1.
        weights: Shape ``(n,)``, positive; equal if None.

    Returns:
        One number a level; infinite where n scores are too few for it.

    Raises:
        ValueError: If there is no score, or a level is out of range.

    Example:
        >>> conformal_quantiles(np.arange(1.0, 10.0), [0.5, 0.8, 0.95]).tolist()
        [5.0, 8.0, inf]
    """
    wanted = np.asarray(list(levels), dtype=np.float64)
    if not ((wanted > 0) & (wanted < 1)).all():
        raise ValueError(f"levels are {wanted.tolist()}, expected numbers between 0 and 1")
    return _reach(scores, wanted * (1 + 1 / max(scores.size, 1)), weights)


def weighted_quantile(
    values: np.ndarray, level: float, *, weights: np.ndarray | None = None
) -> float:
    """Least of ``values`` that reaches ``level`` of the total weight.

    Example:
        >>> weighted_quantile(np.array([3.0, 1.0, 2.0]), 0.5, weights=np.array([8.0, 1.0, 1.0]))
        3.0
    """
    return float(_reach(values, np.array([level]), weights)[0])


def coverage(error: np.ndarray, half_width: np.ndarray) -> float:
    """Share of the voxels whose true value lies in its interval, ends included.

    Args:
        error: Shape ``(n,)``, prediction minus reference.
        half_width: Shape ``(n,)``, same unit.

    Returns:
        0..1; best near the nominal level.

    Raises:
        ValueError: If there is no voxel.

    Example:
        >>> coverage(np.array([-1.0, 0.5, 3.0, -2.0]), np.array([1.0, 1.0, 1.0, 3.0]))
        0.75
    """
    if not error.size:
        raise ValueError("there is no voxel to count")
    return float(np.mean(np.abs(error) <= half_width))


def mean_width(half_width: np.ndarray) -> float:
    """Sharpness: mean width of the intervals, in their unit; lower is better at equal coverage."""
    return float(2 * np.mean(half_width))


def _draw(
    sd: np.ndarray, error: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    if sd.size <= _VOXELS_OF_A_PERSON:
        return sd, error
    chosen = generator.choice(sd.size, _VOXELS_OF_A_PERSON, replace=False)
    return sd[chosen], error[chosen]


def _choose_floor(sds: np.ndarray, errors: np.ndarray, weights: np.ndarray) -> float:
    """The floor under which intervals are narrowest; see :func:`calibrate`."""
    median = max(SMALLEST_MEDIAN, weighted_quantile(sds, 0.5, weights=weights))
    widths = [
        weighted_quantile(errors / (sds + share * median), _FLOOR_LEVEL, weights=weights)
        * np.average(sds + share * median, weights=weights)
        for share in FLOORS
    ]
    narrow = np.array(widths) <= min(widths) * (1 + 1e-6)  # equal but for rounding
    return FLOORS[int(np.argmax(narrow))] * median


def _reach(values: np.ndarray, shares: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The least value at which the running weight reaches each share of the whole; else inf."""
    if not values.size:
        raise ValueError("there is no value to take a quantile of")
    order = np.argsort(values, kind="stable")
    running = np.cumsum(np.ones(values.size) if weights is None else weights[order])
    # A share that is met exactly must not be missed by the rounding of the sum.
    wanted = shares * running[-1] * (1 - 1e-12)
    positions = np.searchsorted(running, wanted)
    return np.asarray(np.append(values[order].astype(np.float64), np.inf)[positions])
