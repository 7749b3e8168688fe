"""Consistency: whether two simulated steps lead where one does, and volumes keep their course."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medtranslate.metrics.regions import measure_ml
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.sections import Section
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.analyses.tally import Column, Tally
from medtranslate.workflows.scored_case import ScoredCase

_COLUMNS = (
    Column("field_mean", "Both halves of the motion against the whole, mean (voxels)", 4),
    Column("field_largest", "The same, largest (voxels)", 4),
    Column("again_mean", "Simulated again from the half, motion against the whole, mean", 4),
    Column("again_largest", "The same, largest (voxels)", 4),
    Column("again_dice", "Dice of the region simulated again and in one step, best at 1", 3),
    Column("again_ml", "Its volume simulated again minus that in one step (ml), best at 0", 3,
           signed=True),
    Column("again_percent", "The same in % of the volume in one step, best at 0", 2, signed=True),
    Column("reversals", "Quarters of the interval in which its volume turns back, best at 0", 2),
)  # fmt: skip
_LEAD = (
    "Half the interval to the follow-up, then the other half, against the whole interval at once; "
    "inside the region, or the mask without one. The halves of the motion come from one "
    "answer of the model about the baseline. What a person gets who simulates, and simulates again "
    "from the simulated scan and region, is told apart: the model then answers about a scan that "
    "it made. Covariates are those of the baseline in both steps. Turning back is counted where "
    "the pipeline declares that the region never does."
)


class ConsistencyAnalysis(AbstractAnalysis):
    """Tabulates how far two steps of simulation are from one."""

    name = "consistency"
    gathered = ("_tally",)

    def __init__(self) -> None:
        self._tally = Tally((), _COLUMNS)

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Take what was measured of one case."""
        followed = case.followed
        if followed is None or followed.consistency is None:
            return
        found, again = followed.consistency, followed.consistency.again
        values: dict[str, float | None] = {
            "field_mean": found.composition.mean,
            "field_largest": found.composition.largest,
            "again_mean": None if again is None else again.mean,
            "again_largest": None if again is None else again.largest,
            "again_dice": found.again_dice,
            "again_ml": found.again_ml,
            "reversals": found.reversals,
        }
        model = next(iter(predictions))
        if found.again_ml is not None:
            values["again_percent"] = _share(found.again_ml, followed.regions[model], case)
        self._tally.add(case, model, (), values)

    def finish(self, board: Scoreboard) -> Findings | None:
        """One table, and every case in ``consistency.csv``."""
        if not self._tally.parts:
            return None
        names = [column.name for column in _COLUMNS]
        section = Section(
            title="Change: two steps against one",
            lead=_LEAD,
            tables=(self._tally.tabulate_measures(board, names),),
        )
        return Findings(
            section,
            {"consistency.csv": self._tally.to_csv()},
            {"by_method": self._tally.to_json(board)},
        )


def _share(difference_ml: float, region: np.ndarray, case: ScoredCase) -> float | None:
    """A difference of volume in percent of a region's; None if that is empty."""
    whole_ml = measure_ml(region, case.reference.geometry)
    return 100 * difference_ml / whole_ml if whole_ml else None
