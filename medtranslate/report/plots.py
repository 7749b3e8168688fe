"""Line drawings as inline SVG that take their colours from the page."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

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
INK, _LINE, *LINE_COLOURS = _PAGE_COLOURS
DASHES = ("", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1.5, 2)), (0, (1, 1)))


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes:
        x: Positions.
        y: Values; NaN leaves a gap.
        low: Lower ends of the band around it; empty for none.
        high: Upper ends of the band.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def style_of(number: int) -> tuple[str, str]:
    """Colour variable and dash pattern of the method with this number, for the legend."""
    dash = DASHES[number % len(DASHES)]
    pattern = " ".join(f"{length:g}" for length in dash[1]) if dash else ""
    return _PAGE_COLOURS[LINE_COLOURS[number % len(LINE_COLOURS)]], pattern


def plot_lines(
    lines: Mapping[str, Line],
    *,
    x_label: str,
    y_label: str,
    label: str,
    diagonal: bool = False,
    shares: bool = False,
) -> Markup:
    """Lines with a marker at each value and a legend, the first one thick.

    Args:
        lines: Name to line, at most five.
        x_label: Quantity and unit.
        y_label: Quantity and unit.
        label: What the drawing shows, for those who do not see it.
        diagonal: Also draw where y equals x.
        shares: Both axes run from 0 to 1.
    """

    def draw(axes: Axes) -> None:
        for number, (name, line) in enumerate(lines.items()):
            colour = LINE_COLOURS[number % len(LINE_COLOURS)]
            if line.low:
                axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.18, lw=0)
            axes.plot(
                line.x,
                line.y,
                color=colour,
                linewidth=1.5 if number else 2.2,
                linestyle=DASHES[number % len(DASHES)] or "solid",
                marker="o",
                markersize=3.5,
                label=name,
            )
        if diagonal:
            axes.axline((0, 0), slope=1, color=_LINE, linewidth=1)
        if shares:
            axes.set(xlim=(0, 1), ylim=(0, 1))
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=8, labelcolor=INK)
        label_axes(axes, x=x_label, y=y_label)

    return Markup(draw_svg(draw, label=label))  # noqa: S704 - made here, texts are escaped


def draw_svg(draw: Callable[[Axes], None], *, label: str) -> str:
    """What ``draw`` puts on quiet axes, as an ``<svg>`` element in the page's style.

    Args:
        draw: Draws in the stand-in colours ``LINE_COLOURS``.
        label: What the drawing shows, for those who do not see it.
    """
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure = Figure(figsize=(5.4, 3.0))
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0.105, 0.165, 0.855, 0.80))
        _quieten(axes)
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _adopt_page_style(buffer.getvalue(), label=label)


def label_axes(axes: Axes, *, x: str, y: str) -> None:
    """Quantity and unit of each axis, in the page's ink."""
    axes.set_xlabel(x, color=INK, size=9)
    axes.set_ylabel(y, color=INK, size=9)


def _quieten(axes: Axes) -> None:
    """No box, thin horizontal lines."""
    axes.set_facecolor("none")
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(_LINE)
    axes.grid(axis="y", color=_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0, labelsize=9)
    axes.margins(x=0.01)
    axes.locator_params(axis="y", nbins=6)


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
