"""The page that compares runs on the same people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.axes import Axes

from medtranslate.metrics.paired_tests import PairedTest
from medtranslate.metrics.scoring import MEASURES
from medtranslate.metrics.statistics import Bootstrap, summarise
from medtranslate.report.paired import TESTED_MEASURES, Comparison
from medtranslate.report.plots import LINE_COLOURS, draw_svg, label_axes
from medtranslate.report.sections import Figure, Section, Table
from medtranslate.report.wording import format_interval, format_value, unit_of

_DRAWN_MEASURES = ("psnr", "ssim")

RunValues = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Run to measure to person to value."""


def describe_comparison(tests: Mapping[Comparison, PairedTest], *, is_ct: bool) -> str:
    """What came out, in one sentence a run: its mean PSNR against the first one's."""
    parts = []
    for which, test in tests.items():
        if which.measure != "psnr":
            continue
        mean = format_value(test.mean, "psnr", is_ct=is_ct, signed=True)
        interval = format_interval(test.bca, "psnr", is_ct=is_ct, signed=True)
        within = f" (BCa interval {interval})" if test.bca else ""
        parts.append(f"{which.method} minus {which.minus}: {mean} dB PSNR{within}")
    return "; ".join(parts) + "."


def make_runs_section(values: RunValues, *, settings: Bootstrap, is_ct: bool) -> Section:
    """Mean of each run, and a line for each person between the runs.

    Args:
        values: Run to measure to person to value; the same people.
        settings: How intervals are drawn.
        is_ct: Whether intensities are HU.
    """
    columns = ["Run", "n"]
    for measure in TESTED_MEASURES:
        unit = unit_of(measure, is_ct=is_ct)
        columns.append(MEASURES[measure].label + (f", {unit}" if unit else ""))
    rows = []
    for run, measures in values.items():
        cells = [run, str(len(measures["psnr"]))]
        for measure in TESTED_MEASURES:
            found = summarise(list(measures[measure].values()), settings=settings)
            mean = format_value(found.mean, measure, is_ct=is_ct)
            ends = format_interval(found.interval, measure, is_ct=is_ct)
            cells.append(f"{mean} ({ends})" if found.interval else mean)
        rows.append(tuple(cells))
    return Section(
        title="Runs",
        lead=f"Mean over people, with the {100 * settings.level:g} % percentile bootstrap interval "
        "over people; the scans of a person are averaged first.",
        tables=(Table(tuple(columns), tuple(rows)),),
        figures=tuple(_draw(values, measure) for measure in _DRAWN_MEASURES),
    )


def make_people_section(values: RunValues, *, is_ct: bool) -> Section:
    """Each person's scores by each run."""
    tables = []
    for measure in TESTED_MEASURES:
        people = sorted(next(iter(values.values()))[measure])
        rows = tuple(
            (
                person,
                *(
                    format_value(of_run[measure][person], measure, is_ct=is_ct)
                    for of_run in values.values()
                ),
            )
            for person in people
        )
        unit = unit_of(measure, is_ct=is_ct)
        caption = f"{MEASURES[measure].label}{f', {unit}' if unit else ''}; "
        tables.append(
            Table(("Person", *values), rows, f"{caption}{MEASURES[measure].better} is better.")
        )
    return Section(
        title="Every person",
        lead="The same people in every run; the scans of a person are averaged first.",
        tables=tuple(tables),
    )


def _draw(values: RunValues, measure: str) -> Figure:
    label = MEASURES[measure].label
    caption = (
        f"{label} of each person, {MEASURES[measure].better} is better: one thin line a person "
        "from run to run, thick the mean."
    )
    svg = draw_svg(lambda axes: _draw_people(axes, values, measure), label=caption)
    return Figure(Markup(svg), caption)  # noqa: S704 - made here, texts are escaped


def _draw_people(axes: Axes, values: RunValues, measure: str) -> None:
    people = sorted(next(iter(values.values()))[measure])
    positions = range(len(values))
    for person in people:
        line = [of_run[measure][person] for of_run in values.values()]
        axes.plot(
            positions, _finite(line), color=LINE_COLOURS[1], linewidth=1, marker="o", markersize=3
        )
    means = [math.fsum(run[measure].values()) / len(people) for run in values.values()]
    axes.plot(positions, _finite(means), color=LINE_COLOURS[0], linewidth=2.6, marker="o")
    axes.set_xticks(list(positions), list(values))
    axes.set_xlim(-0.3, len(values) - 0.7)
    unit = MEASURES[measure].unit
    label_axes(axes, x="", y=f"{MEASURES[measure].label}{f' ({unit})' if unit else ''}")


def _finite(line: Sequence[float]) -> list[float]:
    """Infinite values leave a gap."""
    return [value if math.isfinite(value) else math.nan for value in line]
