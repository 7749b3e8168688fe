"""The headline table: a model against its baselines, one measure at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.scoring import MEASURES
from medtranslate.report.plots import style_of
from medtranslate.report.wording import format_interval, format_value, unit_of

_PLOT_WIDTH = 120.0
_PLOT_MARGIN = 6.0


@dataclass(frozen=True)
class Whisker:
    """A mean and its interval on a common scale, in units of the little plot.

    Attributes:
        mean: Position of the mean.
        low: Position of the interval's lower end; that of the mean if there is no interval.
        high: Position of its upper end.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class MethodRow:
    """One line of the table, all in words.

    Attributes:
        method: Name.
        is_model: Whether it is the model in question.
        colour: Colour variable of the page.
        n: People.
        mean: Mean over people.
        sd: Standard deviation over people.
        interval: Interval of the mean.
        whisker: The same, drawn; None if infinite.
        difference: Model minus this; empty for the model.
        difference_interval: Interval of the difference.
        better: For how many people the model is better.
        is_best: Whether it is the best baseline.
    """

    method: str
    is_model: bool
    colour: str
    n: str
    mean: str
    sd: str
    interval: str
    whisker: Whisker | None
    difference: str
    difference_interval: str
    better: str
    is_best: bool


@dataclass(frozen=True)
class MeasureTable:
    """The lines of one measure.

    Attributes:
        label: Name of the measure.
        unit: Its unit, or empty.
        better: Which direction is good.
        rows: The model, then the baselines.
    """

    label: str
    unit: str
    better: str
    rows: tuple[MethodRow, ...]


def make_measure_table(board: Scoreboard, measure: str) -> MeasureTable:
    """Model and baselines by one measure.

    Args:
        board: What was scored.
        measure: One of ``MEASURES``.
    """
    whiskers = _place_whiskers(board, measure)
    rows = tuple(
        _make_row(board, measure, method, number, whiskers[method])
        for number, method in enumerate(board.methods)
    )
    return MeasureTable(
        label=MEASURES[measure].label,
        unit=unit_of(measure, is_ct=board.is_ct),
        better=MEASURES[measure].better,
        rows=rows,
    )


def _make_row(
    board: Scoreboard, measure: str, method: str, number: int, whisker: Whisker | None
) -> MethodRow:
    summary = board.summary(method, measure)
    is_ct = board.is_ct
    difference, interval, better = "", "", ""
    if number:
        found = board.difference(method, measure)
        difference = format_value(found.mean, measure, is_ct=is_ct, signed=True)
        interval = format_interval(found.interval, measure, is_ct=is_ct, signed=True)
        better = f"{found.better} of {found.n}"
    return MethodRow(
        method=method,
        is_model=number == 0,
        colour=style_of(number)[0],
        n=str(summary.n),
        mean=format_value(summary.mean, measure, is_ct=is_ct),
        sd=format_value(summary.sd, measure, is_ct=is_ct),
        interval=format_interval(summary.interval, measure, is_ct=is_ct),
        whisker=whisker,
        difference=difference,
        difference_interval=interval,
        better=better,
        is_best=method == board.best_baseline(measure),
    )


def _place_whiskers(board: Scoreboard, measure: str) -> dict[str, Whisker | None]:
    """Positions of all methods on one scale that holds every mean and interval."""
    summaries = {method: board.summary(method, measure) for method in board.methods}
    ends = [
        end
        for one in summaries.values()
        for end in (one.mean, *(one.interval or ()))
        if math.isfinite(end)
    ]
    if not ends:
        return dict.fromkeys(summaries)
    low, width = min(ends), max(ends) - min(ends)

    def place(value: float) -> float:
        share = (value - low) / width if width > 0 else 0.5
        return round(_PLOT_MARGIN + share * (_PLOT_WIDTH - 2 * _PLOT_MARGIN), 2)

    return {
        method: Whisker(place(one.mean), *(place(end) for end in one.interval or (one.mean,) * 2))
        if math.isfinite(one.mean)
        else None
        for method, one in summaries.items()
    }
