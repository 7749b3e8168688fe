"""Familiarity: which sources are unlike those that the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medtranslate.data.familiarity import Departure
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.sections import Section, Table
from medtranslate.report.tables import Cell, format_csv
from medtranslate.report.wording import format_value
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.scored_case import ScoredCase

_COLUMNS = ("case", "property", "value", "training_low", "training_high", "distance", "outside")
_MEASURE = "psnr"


class Familiarity(AbstractAnalysis):
    """Collects how far each source lies outside the range of the training scans."""

    name = "familiarity"
    gathered = ("_departures",)
    kinds = (Departure,)

    def __init__(self) -> None:
        self._departures: dict[str, tuple[Departure, ...]] = {}

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Take the comparison that was made with the prediction, if there was one."""
        if case.departures:
            self._departures[case.name] = case.departures

    def finish(self, board: Scoreboard) -> Findings | None:
        """Every source's farthest property beside its score; None without a model's training."""
        if not self._departures:
            return None
        warnings = [
            f"{case}: {one.warning}."
            for case, departures in self._departures.items()
            for one in departures
            if one.outside
        ]
        count = next(iter(self._departures.values()))[0].num_scans
        return Findings(
            section=Section(
                title="Sources unlike the training scans",
                lead="Voxel size, field of view, patient volume and the normalised intensity "
                f"histogram inside the mask, compared with the {count} training scans. Distance: "
                "how far outside their range, in units of it; 0 is inside. The histogram's value "
                "is the Wasserstein distance from the mean training histogram, its range ends at "
                "the greatest distance of a training scan from the mean of the others. A warning "
                f"is given above {1 / max(count - 1, 1):.2g}, what so few scans leave unseen. "
                f"PSNR by protocol {board.protocol.name} ({board.protocol.fingerprint}).",
                tables=(_table(self._departures, board),),
                notes=tuple(warnings) or ("No source lies outside.",),
            ),
            files={"familiarity.csv": format_csv(_COLUMNS, self._rows())},
            summary={
                "training_scans": count,
                "warnings": warnings,
                "distances": {
                    case: {one.name: one.distance for one in departures}
                    for case, departures in self._departures.items()
                },
            },
        )

    def _rows(self) -> list[dict[str, Cell]]:
        return [
            {
                "case": case,
                "property": one.name,
                "value": one.value,
                "training_low": one.low,
                "training_high": one.high,
                "distance": one.distance,
                "outside": "true" if one.outside else "false",
            }
            for case, departures in self._departures.items()
            for one in departures
        ]


def _table(departures: Mapping[str, tuple[Departure, ...]], board: Scoreboard) -> Table:
    """One row a case, the farthest first."""
    scores = {row.case: row.scores.values[_MEASURE] for row in board.of(board.model)}
    farthest = {
        case: max(found, key=lambda one: one.distance) for case, found in departures.items()
    }
    order = sorted(farthest, key=lambda case: (-farthest[case].distance, case))
    return Table(
        columns=("Case", "Farthest property", "Distance", "Warned", "PSNR of the model (dB)"),
        rows=tuple(
            (
                case,
                farthest[case].name if farthest[case].distance else "all inside",
                f"{farthest[case].distance:.2f}",
                "yes" if any(one.outside for one in departures[case]) else "no",
                format_value(scores[case], _MEASURE, is_ct=board.is_ct),
            )
            for case in order
        ),
    )
