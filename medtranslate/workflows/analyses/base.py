"""What every analysis offers to an evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.sections import Section
from medtranslate.workflows.analyses.gathering import unite
from medtranslate.workflows.analyses.tally import Tally
from medtranslate.workflows.scored_case import ScoredCase


@dataclass(frozen=True)
class Findings:
    """What an analysis leaves behind.

    Attributes:
        section: Its part of the report.
        files: Name to text of the files that it writes beside the report, such as
            ``{"regions.csv": "..."}``.
        summary: Plain data for ``summary.json``, under the analysis's name.
    """

    section: Section
    files: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)  # plain JSON data


class AbstractAnalysis(ABC):
    """Looks at every case while it is in memory, and reports once all have been seen."""

    name: str
    """Key in ``summary.json`` and on the command line."""

    gathered: ClassVar[tuple[str, ...]] = ()
    """Attributes that hold what was seen, case by case, and nothing else does."""

    kinds: ClassVar[tuple[type, ...]] = ()
    """Dataclasses in them."""

    is_kept: ClassVar[bool] = True
    """Whether what was seen is all that there is to do; not if files are written on the way."""

    def begin(self) -> Self:
        """One like this, with attributes of its own to gather in; called while all are empty."""
        fresh = copy(self)
        for name in self.gathered:
            setattr(fresh, name, deepcopy(getattr(self, name)))
        return fresh

    @property
    def seen(self) -> dict[str, Any]:
        """What was gathered: containers, numbers, text, arrays and ``kinds``."""
        found = {name: getattr(self, name) for name in self.gathered}
        return {name: one.seen if isinstance(one, Tally) else one for name, one in found.items()}

    def take(self, seen: Mapping[str, Any]) -> None:
        """Add what another, begun as this one was, has seen of other cases."""
        for name, found in seen.items():
            own = getattr(self, name)
            if isinstance(own, Tally):
                own.take(found)
            else:
                setattr(self, name, unite(own, found))

    @abstractmethod
    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Take what is needed of one case.

        Args:
            case: The scans as stored.
            yardstick: The reference in scored units, slices first, and its mask.
            predictions: Method to prediction in the same units and order; the model first.
        """

    @abstractmethod
    def finish(self, board: Scoreboard) -> Findings | None:
        """What was found over all cases; None if no case had what the analysis needs."""
