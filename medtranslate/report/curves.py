"""Scores over slices as inline SVG that takes its colours from the page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.scoring import MEASURES
from medtranslate.report.plots import DASHES, LINE_COLOURS, draw_svg, label_axes

_POSITIONS = np.linspace(0, 100, 101)


@dataclass(frozen=True)
class Curve:
    """One method's scores over slices.

    Attributes:
        position: Slice number, or percent of the way through the scored slices.
        mean: Mean over cases at each position; NaN where infinite.
        cases: Each case on its own, same length.
    """

    position: np.ndarray
    mean: np.ndarray
    cases: tuple[np.ndarray, ...]


def find_curve(board: Scoreboard, method: str, measure: str) -> Curve:
    """Scores of one method over slices.

    One case keeps its slice numbers. Several are laid over each other from the first scored slice
    (0 %) to the last (100 %), so that heads of different size and place can be averaged.

    Args:
        board: What was scored.
        method: One of its methods.
        measure: One of ``SLICE_MEASURES``.
    """
    tracks = []
    for row in board.of(method):
        scored = [one for one in row.scores.slices if one.scored]
        index = np.array([one.index for one in scored], dtype=np.float64)
        value = np.array([one.values[measure] for one in scored])
        value[~np.isfinite(value)] = np.nan
        tracks.append((index, value))
    if len(tracks) == 1:
        index, value = tracks[0]
        return Curve(index, value, (value,))
    cases = tuple(
        np.interp(_POSITIONS, 100 * (index - index[0]) / max(index[-1] - index[0], 1.0), value)
        for index, value in tracks
    )
    return Curve(_POSITIONS, np.mean(cases, axis=0), cases)


def draw_curves(board: Scoreboard, measure: str) -> str:
    """The model's and the baselines' curves of one measure as an ``<svg>`` element.

    Every case of the model is a thin line, the means are thick, baselines are dashed.
    """

    def draw(axes: Axes) -> None:
        _draw_lines(axes, board, measure)
        _dress(axes, board, measure)

    return draw_svg(draw, label=_describe(board, measure))


def _draw_lines(axes: Axes, board: Scoreboard, measure: str) -> None:
    for number, method in reversed(list(enumerate(board.methods))):
        curve = find_curve(board, method, measure)
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        if number == 0 and len(curve.cases) > 1:
            for case in curve.cases:
                axes.plot(curve.position, case, color=colour, linewidth=0.8, alpha=0.35)
        axes.plot(
            curve.position,
            curve.mean,
            color=colour,
            linewidth=2.2 if number == 0 else 1.5,
            linestyle=DASHES[number % len(DASHES)] or "solid",
        )


def _dress(axes: Axes, board: Scoreboard, measure: str) -> None:
    """Slices and unit in words."""
    where = f"{board.protocol.axis} slice, as the file counts"
    if len(board.cases) > 1:
        where = _ENDS[board.protocol.axis]
        axes.set_xticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    label_axes(axes, x=where, y=MEASURES[measure].unit)


_ENDS = {
    axis: f"{axis} slices, from the first scored (0 %) to the last (100 %) in file order"
    for axis in ("axial", "coronal", "sagittal")
}


def _describe(board: Scoreboard, measure: str) -> str:
    methods = ", ".join(board.methods)
    return f"{MEASURES[measure].label} over {board.protocol.axis} slices: {methods}"
