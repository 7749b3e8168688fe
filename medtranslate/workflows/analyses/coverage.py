"""Whether intervals hold the real value as often as they promise, and how wide they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medtranslate.metrics.calibration import LEVELS, Calibration, coverage, mean_width
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.statistics import Summary, mean_by_subject
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.plots import Line, plot_lines
from medtranslate.report.sections import Figure, Section, Table
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.analyses.tally import Column, Tally
from medtranslate.workflows.scored_case import ScoredCase

_WHOLE = "whole mask"
_MAX_PEOPLE = 20
_ABSENT = "\u2013"
_COLUMNS = (
    Column("coverage", "Share of voxels whose real value lies in the interval", 3),
    Column("mean_width", "Mean width of the interval", 4),
)
_EXCHANGE = (
    "The factors come from validation people. Voxels of one person are not exchangeable with those "
    "of another, so that nothing guarantees the nominal coverage for new people; this section is "
    "the measurement."
)


class Coverage(AbstractAnalysis):
    """Achieved against nominal coverage by person and by region, and the width it costs.

    Args:
        calibration: Makes intervals of the standard deviations.
    """

    name = "coverage"
    gathered = ("_tally", "_by_case")

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._tally = Tally(("region", "nominal"), _COLUMNS)
        self._by_case: dict[float, dict[str, float]] = {level: {} for level in LEVELS}

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Count the voxels of one case; a prediction without deviation is passed over."""
        if case.sd is None:
            return
        method = next(iter(predictions))
        scale = case.predictions[method][1]
        if scale is None:
            raise ValueError(f"{case.name}: a standard deviation needs the scale of its prediction")
        unit = scale.factor if yardstick.is_ct else 1.0
        error = predictions[method] - yardstick.reference
        sd = np.moveaxis(case.sd, yardstick.voxel_axis, 0) / scale.factor
        for name, region in _regions(case, yardstick).items():
            for level in LEVELS:
                half_width = self._calibration.half_width(sd[region], level) * unit
                values = {
                    "coverage": coverage(error[region], half_width),
                    "mean_width": mean_width(half_width),
                }
                self._tally.add(case, method, (name, _percent(level)), values)
                if name == _WHOLE:
                    self._by_case[level][case.name] = values["coverage"]

    def finish(self, board: Scoreboard) -> Findings | None:
        """Tables by level, region and person; every case in ``coverage.csv``."""
        if not self._tally.parts:
            return None
        regions = list(dict.fromkeys(region for region, _ in self._tally.parts))
        tables = [self._tabulate_levels(board)]
        if len(regions) > 1:
            tables.append(self._tabulate_regions(board, regions))
        tables.append(self._tabulate_people(board))
        section = Section(
            title="Uncertainty: coverage",
            lead=self._describe(board),
            tables=tuple(tables),
            figures=(self._draw(board),),
            notes=self._notes(),
        )
        summary = {
            "calibration": self._calibration.to_json(),
            "by_region": self._tally.to_json(board),
        }
        return Findings(section, {"coverage.csv": self._tally.to_csv()}, summary)

    def _describe(self, board: Scoreboard) -> str:
        known = self._calibration
        factors = ", ".join(f"{_percent(level)}: {known.factors[level]:.3g}" for level in LEVELS)
        return (
            "Around each voxel of the prediction lies an interval: plus and minus a factor times "
            "(standard deviation of the predictions + floor). It promises to hold the real value "
            f"with its nominal coverage. Factors: {factors}; floor {known.floor:.3g} of the "
            f"normalised unit; from {_people(known.num_people)}. Achieved coverage is the share of "
            "the mask voxels of a person that do lie in their intervals; at equal coverage "
            f"narrower intervals are better. Protocol {board.protocol.name}, fingerprint "
            f"{board.protocol.fingerprint}."
        )

    def _notes(self) -> tuple[str, ...]:
        if self._calibration.num_people > 1:
            return (_EXCHANGE,)
        return (
            _EXCHANGE,
            "One validation person only: the factors know nothing of how people differ.",
        )

    def _summary(self, board: Scoreboard, region: str, level: float, name: str) -> Summary | None:
        return self._tally.summary(board, board.model, (region, _percent(level)), name)

    def _people(self, board: Scoreboard, level: float) -> dict[str, float]:
        return mean_by_subject(self._by_case[level], board.subjects)

    def _tabulate_levels(self, board: Scoreboard) -> Table:
        unit = "HU" if board.is_ct else "scaled intensity"
        rows = []
        for level in LEVELS:
            found = self._summary(board, _WHOLE, level, "coverage")
            width = self._summary(board, _WHOLE, level, "mean_width")
            people = self._people(board, level).values()
            rows.append(
                (
                    _percent(level),
                    _mean(found),
                    _interval(found),
                    _share(min(people)),
                    _share(max(people)),
                    _COLUMNS[1].format(width),
                )
            )
        level_of_interval = f"{100 * board.protocol.interval_level:g} % interval"
        heads = ("Nominal", "Achieved", level_of_interval, "Lowest person", "Highest person")
        return Table(
            (*heads, f"Width ({unit})"),
            tuple(rows),
            f"Mean over {_people(len(self._people(board, LEVELS[0])))}; width \u00b1 SD.",
        )

    def _tabulate_regions(self, board: Scoreboard, regions: list[str]) -> Table:
        rows = []
        for region in regions:
            found = [self._summary(board, region, level, "coverage") for level in LEVELS]
            people = max((summary.n for summary in found if summary), default=0)
            rows.append((region, str(people), *map(_mean, found)))
        return Table(
            ("Region", "People", *(f"Nominal {_percent(level)}" for level in LEVELS)),
            tuple(rows),
            "Achieved by region, mean over the people who have it.",
        )

    def _tabulate_people(self, board: Scoreboard) -> Table:
        by_level = [self._people(board, level) for level in LEVELS]
        worst = sorted(by_level[0], key=lambda one: sum(found[one] for found in by_level))
        caption = "Achieved by person, lowest first."
        if len(worst) > _MAX_PEOPLE:
            caption = f"Achieved by person: the {_MAX_PEOPLE} lowest of {len(worst)}."
        return Table(
            ("Person", *(f"Nominal {_percent(level)}" for level in LEVELS)),
            tuple(
                (person, *(_share(found[person]) for found in by_level))
                for person in worst[:_MAX_PEOPLE]
            ),
            caption,
        )

    def _draw(self, board: Scoreboard) -> Figure:
        people = [[100 * one for one in self._people(board, level).values()] for level in LEVELS]
        caption = (
            "Achieved against nominal coverage, mean over people; the band reaches from the lowest "
            "to the highest person. On the thin line intervals keep their promise, below it they "
            "are too narrow."
        )
        line = Line(
            x=[100 * level for level in LEVELS],
            y=[float(np.mean(values)) for values in people],
            low=[min(values) for values in people],
            high=[max(values) for values in people],
        )
        drawn = plot_lines(
            {"achieved": line},
            x_label="nominal coverage (%)",
            y_label="achieved coverage (%)",
            label=caption,
            diagonal=True,
        )
        return Figure(drawn, caption)


def _regions(case: ScoredCase, yardstick: Yardstick) -> dict[str, np.ndarray]:
    """The mask and every labelled part of it that has a voxel, slices first."""
    regions = {_WHOLE: yardstick.mask}
    for name in case.labels:
        part = np.moveaxis(case.labels[name], yardstick.voxel_axis, 0) & yardstick.mask
        if part.any():
            regions[name] = part
    return regions


def _percent(level: float) -> str:
    return f"{100 * level:g} %"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _mean(summary: Summary | None) -> str:
    return _ABSENT if summary is None else _share(summary.mean)


def _interval(summary: Summary | None) -> str:
    if summary is None or summary.interval is None:
        return _ABSENT
    low, high = summary.interval
    return f"{_share(low)} to {_share(high)}"


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"
