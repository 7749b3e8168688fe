"""What is known of a person, as numbers that a network can be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtranslate.errors import ConfigError

Covariates = Mapping[str, float | str | None]
"""Values by name; None where nothing is known."""


@dataclass(frozen=True)
class NumericCode:
    """A number, standardised by the training people, and whether it is known."""

    mean: float
    sd: float
    size: int = 2

    def encode(self, value: float | str | None, name: str) -> list[float]:
        """Two numbers: the standardised value (0 if missing), and 1 if it is missing."""
        if value is None:
            return [0.0, 1.0]
        try:
            return [(float(value) - self.mean) / self.sd, 0.0]
        except ValueError as error:
            raise ConfigError(f"covariate {name}={value}: expected a number") from error


@dataclass(frozen=True)
class CategoryCode:
    """One of the values seen in training."""

    levels: tuple[str, ...]

    @property
    def size(self) -> int:
        """One number for each value; all 0 says that it is missing."""
        return len(self.levels)

    def encode(self, value: float | str | None, name: str) -> list[float]:
        """One number a value: 1 for the one given."""
        if value is not None and str(value) not in self.levels:
            raise ConfigError(
                f"covariate {name}={value}: the model was trained on {', '.join(self.levels)}"
            )
        return [float(str(value) == level) for level in self.levels]


@dataclass(frozen=True)
class ConditionCode:
    """How covariates become a vector; fitted to the training people, kept with the model.

    Attributes:
        codes: By covariate, in the order of the vector.
    """

    codes: Mapping[str, NumericCode | CategoryCode]

    @classmethod
    def fit(cls, names: Sequence[str], people: Sequence[Covariates]) -> ConditionCode:
        """Learn mean and spread of numbers, and the values of everything else.

        Raises:
            ConfigError: If nobody in training has a value of a covariate.
        """
        return cls(
            {name: _fit_code(name, [person.get(name) for person in people]) for name in names}
        )

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(code.size for code in self.codes.values())

    def encode(self, covariates: Covariates) -> np.ndarray:
        """The vector of one person, float32.

        Raises:
            ConfigError: If a covariate is not known to the model, or a value is not.
        """
        unknown = sorted(set(covariates) - set(self.codes))
        if unknown:
            known = ", ".join(self.codes) or "none: the model was trained without"
            raise ConfigError(f"unknown covariate {', '.join(unknown)}; known: {known}")
        parts = [code.encode(covariates.get(name), name) for name, code in self.codes.items()]
        return np.array([number for part in parts for number in part], dtype=np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the model's configuration."""
        return {
            name: {"mean": code.mean, "sd": code.sd}
            if isinstance(code, NumericCode)
            else {"levels": list(code.levels)}
            for name, code in self.codes.items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ConditionCode:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: If the data has another form.
        """
        try:
            return cls(
                {
                    name: CategoryCode(tuple(map(str, entry["levels"])))
                    if "levels" in entry
                    else NumericCode(float(entry["mean"]), float(entry["sd"]))
                    for name, entry in data.items()
                }
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"covariates need 'levels' or 'mean' and 'sd', got {data}") from error


def _fit_code(name: str, values: Sequence[float | str | None]) -> NumericCode | CategoryCode:
    known = [value for value in values if value is not None]
    if not known:
        raise ConfigError(f"covariate {name}: nobody in training has a value of it; leave it out")
    try:
        numbers = np.array([float(value) for value in known])
    except ValueError:
        return CategoryCode(tuple(sorted({str(value) for value in known})))
    return NumericCode(float(numbers.mean()), float(numbers.std()) or 1.0)
