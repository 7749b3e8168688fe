"""A tumour's future by reaction and diffusion, fitted to its outlines at one or two visits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy import ndimage, optimize

from medtranslate.phantom.growth import grow, make_domain
from medtranslate.settings import Settings

OUTLINE_DENSITY = 0.2
"""Density at the outline of what is seen as tumour."""

_SHARPNESS = 6
_PRIOR_WEIGHT = 0.1
_RANGE = 20.0
_MARGIN_MM = 25.0
_SPREAD_NODES = 7

Spacing = tuple[float, float, float]


class AnySize(NamedTuple):
    """What a solver asks of a grid, in the words of a network: nothing."""

    divisor: int = 1
    dimensions: Literal["3d"] = "3d"


class ReactionDiffusionSettings(Settings):
    """A labelled region that grows by reaction and diffusion; no network, two rates a cohort."""

    name: Literal["reaction_diffusion"] = Field(description="Which method this is.")
    diffusivity: float = Field(
        20.0, gt=0, description="Typical diffusivity, mm^2 a year: what fitted ones lean on."
    )
    proliferation: float = Field(
        12.0, gt=0, description="Typical net rate of division, per year; likewise."
    )

    @property
    def generator(self) -> AnySize:
        """Patches and scans of any size fit."""
        return AnySize()

    @property
    def typical(self) -> GrowthRates:
        """Where the fit of a person starts."""
        return GrowthRates(self.diffusivity, self.proliferation)


@dataclass(frozen=True)
class GrowthRates:
    """How fast cells of a tumour move and divide.

    Attributes:
        diffusivity: In white matter, square millimetres a year.
        proliferation: Net rate of division, per year.
        spread: Standard deviation of the logarithm of both, which vary together; how sure they
            are.
    """

    diffusivity: float
    proliferation: float
    spread: float = 0.0

    def __post_init__(self) -> None:
        if not (self.diffusivity > 0 and self.proliferation > 0 and self.spread >= 0):
            raise ValueError(f"rates must be above 0 and their spread 0 or more, got {self}")

    @property
    def speed(self) -> float:
        """Of the front in white matter, ``2 sqrt(D rho)``, millimetres a year."""
        return 2.0 * math.sqrt(self.diffusivity * self.proliferation)

    @property
    def width_mm(self) -> float:
        """Over which the density falls by ``e`` beyond the outline, ``sqrt(D / rho)``."""
        return math.sqrt(self.diffusivity / self.proliferation)

    def faster(self, factor: float) -> GrowthRates:
        """Both rates, and with them the speed of the front, times ``factor``."""
        return GrowthRates(self.diffusivity * factor, self.proliferation * factor)


def pool_rates(fitted: Sequence[GrowthRates]) -> GrowthRates:
    """What is typical of a cohort, for people of whom one visit is known.

    Args:
        fitted: The rates of each person, at least one.

    Returns:
        Geometric means; the spread is that of the fronts' speeds between people.

    Raises:
        ValueError: If there is nobody.
    """
    if not fitted:
        raise ValueError("no rates to pool: fit at least one person with two visits")
    logs = np.log([(rates.diffusivity, rates.proliferation) for rates in fitted])
    diffusivity, proliferation = np.exp(logs.mean(axis=0))
    spread = float(logs.mean(axis=1).std(ddof=1)) if len(fitted) > 1 else 0.0
    return GrowthRates(float(diffusivity), float(proliferation), spread)


def start_density(region: np.ndarray, rates: GrowthRates, *, spacing: Spacing) -> np.ndarray:
    """Density whose outline is the region's: a front as wide as the rates make it.

    ``u = 1 / (1 + (1 / c - 1) exp(x / w))``, with ``x`` the signed distance from the outline, ``c``
    the density there and ``w`` the width of the front, as the tail of the travelling wave.

    Args:
        region: Boolean, shape ``(i, j, k)``, not empty.
        rates: Give the width.
        spacing: Voxel size, millimetres.

    Raises:
        ValueError: If the region is empty.
    """
    if not region.any():
        raise ValueError("the region is empty: nothing can grow from it")
    half = 0.5 * min(spacing)
    outside = ndimage.distance_transform_edt(~region, sampling=spacing)
    inside = ndimage.distance_transform_edt(region, sampling=spacing)
    signed = np.where(region, half - inside, outside - half)
    odds = (1.0 / OUTLINE_DENSITY - 1.0) * np.exp(np.clip(signed / rates.width_mm, -50.0, 50.0))
    density: np.ndarray = 1.0 / (1.0 + odds)
    return density


def seen(density: np.ndarray) -> np.ndarray:
    """Chance that a voxel of this density counts as tumour, 0 to 1; a half at the outline."""
    ratio = (density / OUTLINE_DENSITY) ** _SHARPNESS
    chance: np.ndarray = ratio / (1.0 + ratio)
    return chance


@dataclass(frozen=True, eq=False)
class GrowthModel:
    """A tumour on its grid, with the rates at which it grows.

    Attributes:
        region: Boolean, shape ``(i, j, k)``; the tumour at the baseline.
        relative: Same shape; diffusivity relative to white matter, 0 where cells cannot go.
        spacing: Voxel size, millimetres.
        rates: How fast it grows.
    """

    region: np.ndarray
    relative: np.ndarray
    spacing: Spacing
    rates: GrowthRates

    def __post_init__(self) -> None:
        if self.region.shape != self.relative.shape:
            raise ValueError(
                f"region has shape {self.region.shape} and diffusivity {self.relative.shape}"
            )

    def density(self, years: float) -> np.ndarray:
        """Density of cells after ``years``, shape ``(i, j, k)``."""
        return _advance(self.region, self.relative, self.spacing, self.rates, years)

    def predict(self, years: float) -> np.ndarray:
        """Chance of each voxel to be tumour after ``years``, averaged over the rates' spread.

        After no time it is the region itself. The average runs over rates slower and faster by
        the nodes of Gauss and Hermite, so that the same model gives the same map.

        Args:
            years: From the baseline on, 0 or more.

        Returns:
            0 to 1, shape ``(i, j, k)``; never less than in the region today.
        """
        if years == 0:
            return self.region.astype(np.float64)
        nodes, weights = np.array([0.0]), np.array([1.0])
        if self.rates.spread > 0:
            nodes, weights = np.polynomial.hermite_e.hermegauss(_SPREAD_NODES)
        total = np.zeros(self.region.shape)
        for node, weight in zip(nodes, weights / weights.sum(), strict=True):
            rates = self.rates.faster(math.exp(self.rates.spread * node))
            total += weight * seen(_advance(self.region, self.relative, self.spacing, rates, years))
        bounded: np.ndarray = np.maximum(total, self.region)
        return bounded


def _advance(
    region: np.ndarray, relative: np.ndarray, spacing: Spacing, rates: GrowthRates, years: float
) -> np.ndarray:
    """Density after a while; cells that lie where none can go, such as in fluid, stay there."""
    domain = make_domain(np.where(region & (relative <= 0), 1e-3, relative), spacing=spacing)
    start = np.where(domain.inside, start_density(region, rates, spacing=spacing), 0.0)
    return grow(
        start,
        domain,
        diffusivity=rates.diffusivity,
        proliferation=rates.proliferation,
        years=years,
    )


def fit_rates(
    earlier: np.ndarray,
    later: np.ndarray,
    relative: np.ndarray,
    *,
    years: float,
    spacing: Spacing,
    typical: GrowthRates,
) -> GrowthRates:
    """Rates at which the first region grows into the second, by least squares.

    Residuals are the logarithm of the volumes' ratio, ``1 - Dice`` of the predicted outline, and,
    weakly, how far the rates are from the typical ones: two visits tell the speed of a front,
    ``2 sqrt(D rho)``, but hardly its width, ``sqrt(D / rho)``.

    Args:
        earlier: Boolean, shape ``(i, j, k)``, not empty; the tumour at the first visit.
        later: Boolean, same shape, not empty; at the second one.
        relative: Same shape; diffusivity relative to white matter.
        years: Between them, more than 0.
        spacing: Voxel size, millimetres.
        typical: Where to start, and what to lean on.

    Returns:
        Rates within a factor of 20 of the typical ones. A region that shrinks gets the slowest:
        this model cannot shrink.

    Raises:
        ValueError: If shapes differ, a region is empty, or the interval is not above 0.
    """
    if not earlier.shape == later.shape == relative.shape:
        raise ValueError("regions and diffusivity have different shapes; bring them on one grid")
    if not (earlier.any() and later.any()) or years <= 0:
        raise ValueError("fitting needs two regions that are not empty and time between them")
    box = box_around(earlier | later, spacing)
    first, second, tissue = earlier[box], later[box], relative[box]

    def rates_at(logs: np.ndarray) -> GrowthRates:
        factors = np.exp(logs)
        return GrowthRates(
            typical.diffusivity * float(factors[0]), typical.proliferation * float(factors[1])
        )

    def residuals(logs: np.ndarray) -> np.ndarray:
        chance = seen(_advance(first, tissue, spacing, rates_at(logs), years))
        grown = np.maximum(chance, first)
        volume = math.log(grown.sum() / np.count_nonzero(second))
        overlap = 2.0 * grown[second].sum() / (grown.sum() + np.count_nonzero(second))
        return np.array([volume, 1.0 - overlap, *(_PRIOR_WEIGHT * logs)])

    limit = math.log(_RANGE)
    found = optimize.least_squares(
        residuals, np.zeros(2), bounds=(-limit, limit), diff_step=0.05, xtol=1e-3, max_nfev=20
    )
    return rates_at(found.x)


def box_around(region: np.ndarray, spacing: Spacing) -> tuple[slice, ...]:
    """The part of the grid around a region that a tumour may reach within its outlines' time."""
    (found,) = ndimage.find_objects(region.astype(np.uint8))
    margins = [math.ceil(_MARGIN_MM / step) for step in spacing]
    return tuple(
        slice(max(part.start - margin, 0), part.stop + margin)
        for part, margin in zip(found, margins, strict=True)
    )
