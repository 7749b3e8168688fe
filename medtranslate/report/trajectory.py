"""The page of a simulation: how a region's volume runs, and the scan to scrub through time."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from medtranslate.report.page import render_page
from medtranslate.report.plots import Line, plot_lines
from medtranslate.report.sections import Figure, Section, Table
from medtranslate.report.tables import Cell

_QUALITY = 85


@dataclass(frozen=True, eq=False)
class Frame:
    """One moment to look at.

    Attributes:
        title: The time, as asked.
        years: From today.
        plane: Shape ``(row, column)``, row 0 at the top.
    """

    title: str
    years: float
    plane: np.ndarray


def render_trajectory(
    rows: Sequence[Mapping[str, Cell]],
    frames: Sequence[Frame],
    *,
    title: str,
    note: str,
    warnings: Sequence[str],
    aspect: float,
) -> str:
    """One offline page: plot, table and a slider through the times.

    Args:
        rows: Of ``trajectory.csv``, today first.
        frames: The same slice at each time, today first.
        title: Name of the baseline.
        note: What it all is; stands at the top and on every simulated picture.
        warnings: What to know before trusting it.
        aspect: Height of a pixel over its width.
    """
    low, high = np.percentile(frames[0].plane, (0.5, 99.7))
    pictures = [
        _encode(frame.plane, float(low), float(high), mark="SIMULATED" if frame.years else "")
        for frame in frames
    ]
    height, width = frames[0].plane.shape
    return render_page(
        "simulation.html.j2",
        title=title,
        note=note,
        warnings=list(warnings),
        sections=[_make_section(rows)],
        pictures=pictures,
        labels=[_label(frame, row) for frame, row in zip(frames, rows, strict=True)],
        size=(2 * width, round(2 * height * aspect)),
    )


def _make_section(rows: Sequence[Mapping[str, Cell]]) -> Section:
    inside = [row for row in rows if row["extrapolation"] == "false"]
    beyond = [row for row in rows if row["extrapolation"] == "true"]
    lines = {"within reach of training": _line(inside)}
    if beyond:
        lines["EXTRAPOLATION"] = _line([*inside[-1:], *beyond])
    figure = Figure(
        plot_lines(lines, x_label="years", y_label="volume, ml", label="Volume over time"),
        "Volume of the region; the band holds 90 % of the simulated futures.",
    )
    table = Table(
        ("time", "volume, ml", "change, %", "5 %", "95 %", ""),
        tuple(
            (
                str(row["time"]),
                f"{row['volume_ml']:.2f}",
                f"{row['change_percent']:+.2f}",
                f"{row['low']:.2f}",
                f"{row['high']:.2f}",
                "EXTRAPOLATION" if row["extrapolation"] == "true" else "",
            )
            for row in rows
        ),
    )
    lead = (
        f"What the model expects of the {rows[0]['region']}, and the interval of the futures that"
        " it draws. They are simulations of a cohort's typical course."
    )
    return Section("Volume through time", lead, tables=(table,), figures=(figure,))


def _line(rows: Sequence[Mapping[str, Cell]]) -> Line:
    def column(name: str) -> list[float]:
        return [float(row[name]) for row in rows]

    return Line(column("years"), column("volume_ml"), column("low"), column("high"))


def _label(frame: Frame, row: Mapping[str, Cell]) -> str:
    mark = " EXTRAPOLATION" if row["extrapolation"] == "true" else ""
    return f"{frame.title}: {float(row['volume_ml']):.2f} ml{mark}"


def _encode(plane: np.ndarray, low: float, high: float, *, mark: str) -> str:
    width = high - low if high > low else 1.0
    image = Image.fromarray((255 * np.clip((plane - low) / width, 0, 1)).astype(np.uint8))
    image = image.resize((2 * image.width, 2 * image.height))
    if mark:
        ImageDraw.Draw(image).text((4, 4), mark, fill=235, stroke_width=1, stroke_fill=0)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
