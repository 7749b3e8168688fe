"""What every analysis offers to an evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.sections import Section
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
