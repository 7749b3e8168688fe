"""How far a source lies from the scans that a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtranslate.geometry import Geometry
from medtranslate.networks.quantiles import quantiles_of_sorted

HISTOGRAM = "intensity histogram"
"""Name of the property that is a distance between distributions."""

_DIRECTIONS = {"L": "left-right", "P": "back-front", "I": "foot-head"}
_OPPOSITES = {"R": "L", "A": "P", "S": "I"}
_LEVELS = (np.arange(100) + 0.5) / 100
_LEAST_WIDTH = 0.05
_LEAST_HISTOGRAM_WIDTH = 0.02


RANGE_KEY = "training_range"
"""Key of a model's configuration that holds the ranges of the sources it was trained on."""


@dataclass(frozen=True, eq=False)
class ScanTraits:
    """What is compared of a source.

    Attributes:
        properties: Name with unit to value: voxel size and field of view along each direction of
            the patient in mm, and the volume inside the mask in ml.
        quantiles: Shape ``(100,)``, ascending; normalised intensity inside the mask at evenly
            spaced levels.
    """

    properties: Mapping[str, float]
    quantiles: np.ndarray


@dataclass(frozen=True)
class Departure:
    """One property of a source beside the training scans.

    Attributes:
        name: With unit.
        value: Of the source; of the histogram, its distance from the mean one.
        low: Least value in training.
        high: Greatest value in training.
        distance: How far outside, in units of the training range; 0 inside.
        num_scans: How many training scans there were.
    """

    name: str
    value: float
    low: float
    high: float
    distance: float
    num_scans: int

    @property
    def outside(self) -> bool:
        """Whether it lies so far outside that few training scans are no excuse.

        ``n`` evenly distributed values leave, on each side, ``1 / (n - 1)`` of their range unseen.
        """
        return self.distance > 1 / max(self.num_scans - 1, 1)

    @property
    def warning(self) -> str:
        """What to tell a person if it lies outside."""
        return (
            f"{self.name} is {self.value:.3g}, in the {self.num_scans} training scans "
            f"{self.low:.3g} to {self.high:.3g} ({self.distance:.1f} times that range beyond it): "
            "the model has seen no such scan; look at the result with care"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for a sidecar."""
        return {
            "Value": self.value,
            "TrainingRange": [self.low, self.high],
            "Distance": self.distance,
            "Outside": self.outside,
        }


@dataclass(frozen=True, eq=False)
class TrainingRange:
    """The sources that a model was trained on, as ranges.

    Attributes:
        num_scans: How many.
        ranges: Property to its least and greatest value.
        quantiles: Mean of their quantile functions, the Wasserstein barycentre.
        histogram_distance: Greatest distance of one of them from the mean of the others; 0 if
            there is one.
    """

    num_scans: int
    ranges: Mapping[str, tuple[float, float]]
    quantiles: np.ndarray
    histogram_distance: float

    @classmethod
    def of(cls, scans: Sequence[ScanTraits]) -> TrainingRange:
        """The ranges of at least one scan."""
        properties = {
            name: [scan.properties[name] for scan in scans] for name in scans[0].properties
        }
        quantiles = np.stack([scan.quantiles for scan in scans])
        mean = quantiles.mean(axis=0)
        # The mean of the others lies n / (n - 1) times as far from one as the mean of all.
        apart = [histogram_distance(one, mean) for one in quantiles]
        stretch = len(scans) / max(len(scans) - 1, 1)
        return cls(
            num_scans=len(scans),
            ranges={name: (min(values), max(values)) for name, values in properties.items()},
            quantiles=mean,
            histogram_distance=stretch * max(apart),
        )

    def compare(self, scan: ScanTraits) -> tuple[Departure, ...]:
        """Each property of a source beside the training scans, the histogram last.

        The unit of a distance is the width of the training range: at least 5 % of the value, for
        scans of one protocol have no width, and for the histogram 2 % of its largest value.
        """
        found = [
            self._depart(name, scan.properties[name], low, high, _LEAST_WIDTH * abs(high))
            for name, (low, high) in self.ranges.items()
        ]
        apart = histogram_distance(scan.quantiles, self.quantiles)
        least = _LEAST_HISTOGRAM_WIDTH * float(np.abs(self.quantiles).max())
        found.append(self._depart(HISTOGRAM, apart, 0.0, self.histogram_distance, least))
        return tuple(found)

    def _depart(self, name: str, value: float, low: float, high: float, least: float) -> Departure:
        beyond = max(low - value, value - high, 0.0)
        return Departure(name, value, low, high, beyond / max(high - low, least), self.num_scans)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the model's configuration."""
        return {
            "num_scans": self.num_scans,
            "ranges": {name: list(ends) for name, ends in self.ranges.items()},
            "quantiles": [float(value) for value in self.quantiles],
            "histogram_distance": self.histogram_distance,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainingRange:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: If something is missing or not as :meth:`to_json` writes it.
        """
        try:
            ranges = {str(name): (float(a), float(b)) for name, (a, b) in data["ranges"].items()}
            quantiles = np.asarray(data["quantiles"], dtype=np.float64)
            result = cls(
                int(data["num_scans"]), ranges, quantiles, float(data["histogram_distance"])
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__} {error}") from error
        if set(ranges) != set(_property_names()) or quantiles.shape != _LEVELS.shape:
            raise ValueError("its properties or quantiles are not those of this version")
        return result


def measure_traits(ascending: np.ndarray, *, native: Geometry, grid: Geometry) -> ScanTraits:
    """What is compared of a prepared source.

    Args:
        ascending: Shape ``(n,)``, sorted, not empty; normalised intensity of every voxel of the
            model grid inside the mask.
        native: The source's own grid.
        grid: The model grid.
    """
    axes = {_DIRECTIONS[_OPPOSITES.get(x, x)]: n for n, x in enumerate(native.orientation)}
    sizes = {direction: native.spacing[axes[direction]] for direction in _DIRECTIONS.values()}
    extents = {way: size * native.shape[axes[way]] for way, size in sizes.items()}
    volume_ml = float(len(ascending) * np.prod(grid.spacing) / 1000)
    values = [*sizes.values(), *extents.values(), volume_ml]
    properties = dict(zip(_property_names(), values, strict=True))
    return ScanTraits(properties, quantiles_of_sorted(ascending.astype(np.float64), _LEVELS))


def histogram_distance(first: np.ndarray, second: np.ndarray) -> float:
    """First Wasserstein distance of two distributions given by their quantiles.

    ``W1 = integral |Q1(p) - Q2(p)| dp``, in the unit of the intensities.

    Args:
        first: Quantiles at evenly spaced levels.
        second: At the same levels.

    References:
        Villani, Topics in Optimal Transportation, 2003, theorem 2.18.
    """
    return float(np.abs(first - second).mean())


def _property_names() -> tuple[str, ...]:
    ways = _DIRECTIONS.values()
    return (
        *(f"voxel size {way} (mm)" for way in ways),
        *(f"field of view {way} (mm)" for way in ways),
        "patient volume (ml)",
    )
