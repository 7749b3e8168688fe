"""Spread: whether futures that a model draws hold the true one as often as they promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medtranslate.metrics.regions import measure_ml
from medtranslate.metrics.reliability import Reliability, measure_reliability
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.statistics import mean_by_subject, wilson_interval
from medtranslate.metrics.trajectories import LEVELS, lies_within, place_in_samples
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.plots import Line, plot_lines
from medtranslate.report.sections import Figure, Section, Table
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.analyses.tally import Column, Tally
from medtranslate.workflows.scored_case import DrawnFutures, ScoredCase

_WITHIN = {level: f"within_{100 * level:g}" for level in LEVELS}
_POSITION = Column("position", "Place of the true volume among the drawn ones, 0 to 1", 3)
_MEASURES = (
    Column("width_ml", "Width of the central 90 % of volumes (ml), lower is better", 3),
    Column("calibration_error", "Expected calibration error of the chance, best at 0", 3),
    Column("kept", "Part of the voxels of chance 1 that are in the later region, best at 1", 3),
    Column("missed", "Part of the later region at chance 0, best at 0", 3),
    Column("doubtful", "Voxels with a chance between 0 and 1", 0),
)
_COLUMNS = (
    _POSITION,
    *(Column(name, f"Whether it lies in their central {100 * level:g} %", 3)
      for level, name in _WITHIN.items()),
    *_MEASURES,
)  # fmt: skip
_LEAD = (
    "Of each baseline futures were drawn that differ in their speed, for the time of the follow-up."
    " The true volume of the region should fall anywhere among the drawn ones, and into their "
    "central part as often as that part promises. Voxels in doubt, with a chance between 0 and 1, "
    "should be in the later region as often as the chance says. "
)
_FEW = (
    "The intervals of coverage are Wilson's, over people. Of few people they are wide: a spread "
    "that is too narrow cannot be told from one that is right."
)


class SpreadAnalysis(AbstractAnalysis):
    """Place, coverage and reliability of the futures that the model draws."""

    name = "spread"
    gathered = ("_tally", "_reliability", "_within", "_positions", "_num_drawn")
    kinds = (Reliability,)

    def __init__(self) -> None:
        self._tally = Tally((), _COLUMNS)
        self._reliability: dict[str, Reliability] = {}
        self._within: dict[str, dict[str, float]] = {name: {} for name in _WITHIN.values()}
        self._positions: dict[str, float] = {}
        self._num_drawn = 0

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Look where the true region lies among the drawn ones."""
        followed = case.followed
        if followed is None or followed.drawn is None or followed.later is None:
            return
        volumes = followed.drawn.volumes_ml
        true = measure_ml(followed.later, case.reference.geometry)
        position = place_in_samples(volumes, np.array(true))
        within = {name: float(lies_within(position, level)) for level, name in _WITHIN.items()}
        reliability = measure_reliability(followed.drawn.chance, followed.later)
        values: dict[str, float | None] = {"position": float(position), **within}
        values |= _score_chance(followed.drawn, followed.later, reliability)
        self._tally.add(case, next(iter(predictions)), (), values)
        self._reliability[case.name] = reliability
        self._positions[case.name] = float(position)
        self._num_drawn = len(volumes)
        for name, value in within.items():
            self._within[name][case.name] = value

    def finish(self, board: Scoreboard) -> Findings | None:
        """Coverage with its intervals, the reliability of chances; every case in ``spread.csv``."""
        if not self._positions:
            return None
        names = [column.name for column in _MEASURES]
        lead = f"{_LEAD}{self._num_drawn} futures of each. Protocol {board.protocol.name}."
        coverage = self._cover(board)
        section = Section(
            title="Change: spread of simulated futures",
            lead=lead,
            tables=(_tabulate_coverage(coverage), self._tally.tabulate_measures(board, names)),
            figures=(self._draw_positions(board), *self._draw_reliability(board)),
            notes=(_FEW,),
        )
        summary = {
            "futures": self._num_drawn,
            "coverage": coverage,
            "positions": mean_by_subject(self._positions, board.subjects),
            "by_method": self._tally.to_json(board),
        }
        return Findings(section, {"spread.csv": self._tally.to_csv()}, summary)

    def _cover(self, board: Scoreboard) -> list[dict[str, Any]]:
        """Achieved coverage of each level over people, with Wilson's interval."""
        found = []
        for level, name in _WITHIN.items():
            people = mean_by_subject(self._within[name], board.subjects)
            share = float(np.mean(list(people.values())))
            interval = wilson_interval(share, len(people), level=board.protocol.interval_level)
            found.append(
                {"nominal": level, "achieved": share, "interval": list(interval), "n": len(people)}
            )
        return found

    def _draw_positions(self, board: Scoreboard) -> Figure:
        places = sorted(mean_by_subject(self._positions, board.subjects).values())
        shares = (np.arange(len(places)) + 0.5) / len(places)
        caption = (
            "Place of each person's true volume among the drawn ones, in order. Right spreads keep "
            "to the thin line; too narrow ones put people at both ends, too small ones to the "
            "right."
        )
        drawn = plot_lines(
            {"people": Line(places, shares.tolist())},
            x_label="place of the truth among the drawn volumes",
            y_label="share of people up to it",
            label=caption,
            diagonal=True,
            shares=True,
        )
        return Figure(drawn, caption)

    def _draw_reliability(self, board: Scoreboard) -> tuple[Figure, ...]:
        """Mean over cases of each bin that one has; nothing if no voxel was in doubt."""
        chances, frequencies = (
            np.array([getattr(one, name) for one in self._reliability.values()])
            for name in ("chance", "frequency")
        )
        held = ~np.isnan(frequencies).all(axis=0)
        if not held.any():
            return ()
        caption = (
            "Share of the doubtful voxels that are in the later region, against the chance they "
            "were given, mean over cases; the band reaches from the lowest to the highest. On the "
            "thin line chances are right; a flatter curve is surer than it may be."
        )
        line = Line(
            np.nanmean(chances[:, held], axis=0).tolist(),
            np.nanmean(frequencies[:, held], axis=0).tolist(),
            np.nanmin(frequencies[:, held], axis=0).tolist(),
            np.nanmax(frequencies[:, held], axis=0).tolist(),
        )
        drawn = plot_lines(
            {board.model: line},
            x_label="chance",
            y_label="share in the later region",
            label=caption,
            diagonal=True,
            shares=True,
        )
        return (Figure(drawn, caption),)


def _score_chance(
    drawn: DrawnFutures, later: np.ndarray, reliability: Reliability
) -> dict[str, float | None]:
    """How wide the volumes lie, and what the chances are worth."""
    low, high = np.quantile(drawn.volumes_ml, [0.05, 0.95], method="weibull")
    sure, never = drawn.chance >= 1, drawn.chance <= 0
    return {
        "width_ml": float(high - low),
        "calibration_error": reliability.error,
        "kept": float(later[sure].mean()) if sure.any() else None,
        "missed": float(never[later].mean()) if later.any() else None,
        "doubtful": float(sum(reliability.counts)),
    }


def _tabulate_coverage(coverage: list[dict[str, Any]]) -> Table:
    rows = []
    for found in coverage:
        low, high = found["interval"]
        rows.append(
            (
                f"{100 * found['nominal']:g} %",
                f"{100 * found['achieved']:.0f} %",
                f"{100 * low:.0f} % to {100 * high:.0f} %",
                str(found["n"]),
            )
        )
    return Table(
        ("Central part of the drawn volumes", "Holds the true one", "Interval", "People"),
        tuple(rows),
        "Volume of the region at the follow-up.",
    )
