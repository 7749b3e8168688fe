"""Scores over slices as inline SVG that takes its colours from the page."""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.scoring import MEASURES

_POSITIONS = np.linspace(0, 100, 101)
_PAGE_COLOURS = {
    "#010101": "var(--ink-soft)",
    "#020202": "var(--line)",
    "#030303": "var(--model)",
    "#040404": "var(--baseline-1)",
    "#050505": "var(--baseline-2)",
    "#060606": "var(--baseline-3)",
    "#070707": "var(--baseline-4)",
}
"""Stand-in colours drawn by matplotlib, and the page's own that replace them in the SVG."""
_INK, _LINE, _MODEL, *_BASELINES = _PAGE_COLOURS
_DASHES = ("", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1.5, 2)), (0, (1, 1)))


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
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": measure}):
        figure = Figure(figsize=(5.4, 3.0))
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0.105, 0.165, 0.855, 0.80))
        _draw_lines(axes, board, measure)
        _dress(axes, board, measure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _adopt_page_style(buffer.getvalue(), label=_describe(board, measure))


def style_of(number: int) -> tuple[str, str]:
    """Colour variable and dash pattern of the method with this number, for the legend."""
    stand_ins = (_MODEL, *_BASELINES)
    dash = _DASHES[number % len(_DASHES)]
    pattern = " ".join(f"{length:g}" for length in dash[1]) if dash else ""
    return _PAGE_COLOURS[stand_ins[number % len(stand_ins)]], pattern


def _draw_lines(axes: Axes, board: Scoreboard, measure: str) -> None:
    stand_ins = (_MODEL, *_BASELINES)
    for number, method in reversed(list(enumerate(board.methods))):
        curve = find_curve(board, method, measure)
        colour = stand_ins[number % len(stand_ins)]
        if number == 0 and len(curve.cases) > 1:
            for case in curve.cases:
                axes.plot(curve.position, case, color=colour, linewidth=0.8, alpha=0.35)
        axes.plot(
            curve.position,
            curve.mean,
            color=colour,
            linewidth=2.2 if number == 0 else 1.5,
            linestyle=_DASHES[number % len(_DASHES)] or "solid",
        )


def _dress(axes: Axes, board: Scoreboard, measure: str) -> None:
    """Quiet axes: no box, thin horizontal lines, units in words."""
    axes.set_facecolor("none")
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(_LINE)
    axes.grid(axis="y", color=_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, length=0, labelsize=9)
    axes.margins(x=0.01)
    axes.locator_params(axis="y", nbins=6)
    if len(board.cases) > 1:
        axes.set_xlabel(_ENDS[board.protocol.axis], color=_INK, size=9)
        axes.set_xticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    else:
        axes.set_xlabel(f"{board.protocol.axis} slice, as the file counts", color=_INK, size=9)
    if MEASURES[measure].unit:
        axes.set_ylabel(MEASURES[measure].unit, color=_INK, size=9)


_ENDS = {
    axis: f"{axis} slices, from the first scored (0 %) to the last (100 %) in file order"
    for axis in ("axial", "coronal", "sagittal")
}


def _describe(board: Scoreboard, measure: str) -> str:
    methods = ", ".join(board.methods)
    return f"{MEASURES[measure].label} over {board.protocol.axis} slices: {methods}"


def _adopt_page_style(svg: str, *, label: str) -> str:
    """Drop the XML head and the ids, let the page choose colours, font and size."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    svg = re.sub(r' (?:width|height)="[0-9.]+pt"', "", svg, count=2)
    for stand_in, colour in _PAGE_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)
