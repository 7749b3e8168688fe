"""Misregistration: what the model, and the real scan itself, would score if they were moved."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from medtranslate.geometry import Geometry
from medtranslate.metrics.alignment import (
    DISPLACEMENTS,
    MAX_SLICES,
    MEASURES,
    Displacement,
    score_displaced,
)
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.statistics import Summary
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.plots import Line, plot_lines
from medtranslate.report.sections import Figure, Section, Table
from medtranslate.report.tables import Cell, format_csv
from medtranslate.report.wording import format_value
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.scored_case import ScoredCase

MODEL, REAL = "model", "real scan"
_COLUMNS = ("case", "image", "displacement", "size", "unit", "measure", "value")
_LABELS = {"psnr": "PSNR (dB)", "ssim": "SSIM"}
_UNITS = {"shift": "mm", "rotation": "degrees"}

_Curve = Mapping[Displacement, Mapping[str, float]]
Points = Mapping[tuple[str, Displacement, str], Summary]
"""By image, displacement and measure."""


class AlignmentAnalysis(AbstractAnalysis):
    """Moves the model's prediction and the real scan a little, and scores both where they land."""

    name = "alignment"
    gathered = ("_curves",)
    kinds = (Displacement,)

    def __init__(self) -> None:
        self._curves: dict[str, dict[str, _Curve]] = {MODEL: {}, REAL: {}}

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Score both curves of one case."""
        spacing = sliced_spacing(case.reference.geometry, yardstick.voxel_axis)
        images = {MODEL: next(iter(predictions.values())), REAL: yardstick.reference}
        for name, image in images.items():
            self._curves[name][case.name] = score_displaced(yardstick, image, spacing=spacing)

    def finish(self, board: Scoreboard) -> Findings:
        """Both curves over people."""
        points = {
            (image, displacement, measure): board.over_people(
                {case: curve[displacement][measure] for case, curve in by_case.items()}
            )
            for image, by_case in self._curves.items()
            for displacement in DISPLACEMENTS
            for measure in MEASURES
        }
        return Findings(
            section=_section(points, board),
            files={"alignment.csv": format_csv(_COLUMNS, self._rows())},
            summary={
                image: {
                    displacement.words: {
                        measure: points[image, displacement, measure].to_json()
                        for measure in MEASURES
                    }
                    for displacement in DISPLACEMENTS
                }
                for image in self._curves
            },
        )

    def _rows(self) -> list[dict[str, Cell]]:
        return [
            {
                "case": case,
                "image": image,
                "displacement": displacement.kind,
                "size": displacement.size,
                "unit": _UNITS[displacement.kind],
                "measure": measure,
                "value": curve[displacement][measure],
            }
            for image, by_case in self._curves.items()
            for case, curve in by_case.items()
            for displacement in DISPLACEMENTS
            for measure in MEASURES
        ]


def sliced_spacing(geometry: Geometry, voxel_axis: int) -> tuple[float, float, float]:
    """Voxel size along the axes of an array whose ``voxel_axis`` was moved to the front, in mm.

    Example:
        >>> sliced_spacing(Geometry((2, 2, 2), np.diag([1.0, 2.0, 3.0, 1.0])), 1)
        (2.0, 1.0, 3.0)
    """
    rows, columns = (n for axis, n in enumerate(geometry.spacing) if axis != voxel_axis)
    return geometry.spacing[voxel_axis], rows, columns


def _section(points: Points, board: Scoreboard) -> Section:
    columns = [(image, measure) for image in (MODEL, REAL) for measure in MEASURES]
    names = {MODEL: board.model, REAL: REAL}
    table = Table(
        columns=("Moved by", *(f"{names[image]}: {_LABELS[one]}" for image, one in columns)),
        rows=tuple(
            (
                displacement.words,
                *(
                    format_value(points[image, displacement, one].mean, one, is_ct=board.is_ct)
                    for image, one in columns
                ),
            )
            for displacement in DISPLACEMENTS
        ),
        caption="Mean over people.",
    )
    protocol = board.protocol
    return Section(
        title="If the scans were not aligned",
        lead=f"The prediction of {board.model} is moved and scored again, and so is the real scan, "
        f"a perfect prediction but for the motion.{describe_equivalent(points)} Each score is the "
        "mean over shifts along, or rotations about, the three voxel axes, to both sides; axes of "
        "rotation go through the middle of the mask, which stays in place. Linear interpolation, "
        "which also blurs a little. Protocol "
        f"{protocol.name} ({protocol.fingerprint}), PSNR and SSIM of slices, at most {MAX_SLICES} "
        "slices of a scan evenly spread, so that the first row may differ a little from the "
        "main table.",
        tables=(table,),
        figures=tuple(_draw(points, measure, names) for measure in MEASURES),
        notes=(
            "A model's score that hardly falls when it is moved belongs to a blurred prediction, "
            "or to one that is out of register already.",
        ),
    )


def describe_equivalent(points: Points) -> str:
    """Between which shifts of the real scan the model's own PSNR lies, as a sentence.

    Args:
        points: Scores by image, displacement and measure.
    """
    still = DISPLACEMENTS[0]
    model = points[MODEL, still, "psnr"].mean
    shifts = [one for one in DISPLACEMENTS if one.kind == "shift"]
    perfect = {one: points[REAL, one, "psnr"].mean for one in shifts}
    better = [one for one in shifts if perfect[one] >= model]
    worse = [one for one in shifts if perfect[one] < model]
    if not worse:
        return f" By PSNR the model, unmoved, stands below a perfect image {better[-1].words} off."
    if better[-1].size == 0:
        return f" By PSNR the model, unmoved, stands above a perfect image {worse[0].words} off."
    return (
        f" By PSNR the model, unmoved, stands between a perfect image {better[-1].words} off and "
        f"one {worse[0].words} off."
    )


def _draw(points: Points, measure: str, names: Mapping[str, str]) -> Figure:
    shifts = [one for one in DISPLACEMENTS if one.kind == "shift"]
    lines = {}
    for image, name in names.items():
        summaries = [points[image, one, measure] for one in shifts]
        heights = [one.mean if math.isfinite(one.mean) else math.nan for one in summaries]
        lines[name] = Line([one.size for one in shifts], heights)
    label = f"{_LABELS[measure]} against shift in millimetres, {' and '.join(names.values())}"
    caption = f"{label}. A perfect image that is not moved has an infinite PSNR and is not drawn."
    return Figure(
        plot_lines(lines, x_label="shift (mm)", y_label=_LABELS[measure], label=label),
        caption if measure == "psnr" else f"{label}.",
    )
