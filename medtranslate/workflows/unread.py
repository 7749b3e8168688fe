"""What training steps told, left on the device until somebody needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ToldStep:
    """What one step told.

    Attributes:
        step: Its number, the first being 0.
        terms: Loss terms by name.
        num_skipped: Updates left out so far, this one included.
    """

    step: int
    terms: Mapping[str, float]
    num_skipped: int


class UnreadSteps:
    """Keeps what steps told as scalars on their device, and reads all of them in one copy."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._steps: list[tuple[int, tuple[str, ...]]] = []
        self._scalars: list[Tensor] = []

    def add(self, step: int, terms: Mapping[str, Tensor], num_skipped: Tensor) -> None:
        """Keep what a step told; the scalars must not change any more."""
        self._steps.append((step, tuple(terms)))
        self._scalars += [*terms.values(), num_skipped]

    def read(self) -> list[ToldStep]:
        """Wait for the device, and forget what was read."""
        values = torch.stack(self._scalars).tolist() if self._scalars else []
        told, rest = [], iter(values)
        for step, names in self._steps:
            terms = {name: next(rest) for name in names}
            told.append(ToldStep(step, terms, int(next(rest))))
        self._steps, self._scalars = [], []
        return told
