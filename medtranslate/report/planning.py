"""The page of a plan: how large a margin covers the simulated region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medtranslate.metrics.margins import MarginCurve
from medtranslate.report.page import render_page
from medtranslate.report.plots import Line, plot_lines
from medtranslate.report.sections import Figure, Section, Table
from medtranslate.report.tables import Cell

_MOST_LINES = 5
_KINDS = {"isotropic": "the same in every direction", "within": "within the anatomy"}


def render_plan(
    rows: Sequence[Mapping[str, Cell]],
    curves: Mapping[tuple[str, str], MarginCurve],
    *,
    coverage: float,
    title: str,
    note: str,
    warnings: Sequence[str],
) -> str:
    """One offline page.

    Args:
        rows: Of ``margins.csv``.
        curves: By time and kind of margin.
        coverage: Share that was to be covered.
        title: Name of the baseline.
        note: What it all is; stands at the top.
        warnings: What to know before trusting it.
    """
    table = Table(
        ("time", "margin", "mm", "covered", "volume, ml"),
        tuple(
            (
                str(row["time"]),
                _KINDS[str(row["kind"])],
                "not reached" if row["margin_mm"] == "" else f"{row['margin_mm']:.1f}",
                f"{float(row['covered']):.1%}",
                f"{row['volume_ml']:.1f}",
            )
            for row in rows
        ),
        f"Smallest margin that covers {coverage:.0%} of the later region.",
    )
    figures = tuple(
        Figure(
            plot_lines(
                dict(_draw_curves(curves, wanted)),
                x_label="margin, mm",
                y_label="covered, %",
                label=f"Coverage by margin, {_KINDS[wanted]}",
            ),
            f"Share of the simulated region inside today's plus the margin, {_KINDS[wanted]}.",
        )
        for wanted in _KINDS
        if any(kind == wanted for _, kind in curves)
    )
    lead = (
        "The covered share is the part of the simulated later region, weighted by its probability,"
        " that lies inside today's region plus the margin."
    )
    section = Section("Margins", lead, tables=(table,), figures=figures)
    return render_page(
        "plan.html.j2", title=title, note=note, warnings=list(warnings), sections=[section]
    )


def _draw_curves(
    curves: Mapping[tuple[str, str], MarginCurve], wanted: str
) -> list[tuple[str, Line]]:
    """The last curves of a kind, as many as a plot can hold."""
    lines = [
        (time, Line(curve.margins_mm, [100 * share for share in curve.covered]))
        for (time, kind), curve in curves.items()
        if kind == wanted
    ]
    return lines[-_MOST_LINES:]
