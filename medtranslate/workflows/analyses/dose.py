"""Dose surrogate of synthetic CT: by how many mm of water each beam would be misled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from medtranslate.metrics.dose import (
    CURVES,
    GANTRY_ANGLES,
    HuCurve,
    aim_beam,
    range_errors,
    relate_to_water,
)
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.sections import Section, Table
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.analyses.tally import Column, Tally, name_cases
from medtranslate.workflows.scored_case import ScoredCase

_COLUMNS = (
    Column("centroid_reference", "Depth of the centroid in the real CT (mm of water)", 1),
    Column(
        "centroid_error", "Range error at the centroid (mm of water), synthetic minus real", 2, True
    ),
    Column(
        "distal_error",
        "Range error where rays leave the body (mm of water), mean over rays, synthetic minus real",
        2,
        True,
    ),
    Column("distal_absolute", "The same, mean absolute (mm of water), lower is better", 2),
    Column("distal_p95", "The same, 95th percentile over rays (mm of water)", 2),
    Column("map_absolute", "Depth difference over the whole body, mean absolute (mm of water)", 2),
)
_LEAD = (
    "This is a surrogate and not a dose: straight parallel rays, no scatter, no beam model, and "
    "curves from HU of no particular scanner. It says by how many mm of water a beam's depth moves "
    "when the synthetic CT stands in for the real one. A positive error means that the synthetic "
    "CT holds too much, so that a beam planned on it goes too deep. Gantry angles are those of "
    "IEC 61217 for a patient on the back, head first. What lies outside the mask counts as vacuum "
    "in both scans. Mean \u00b1 SD over people."
)


class DoseAnalysis(AbstractAnalysis):
    """Water-equivalent depth along beams, synthetic against real CT.

    Args:
        curves: HU to what a beam meets; give your scanner's own to replace the generic ones.
        angles: Gantry angles in degrees.
    """

    name = "dose"

    def __init__(
        self, *, curves: Sequence[HuCurve] = CURVES, angles: Sequence[float] = GANTRY_ANGLES
    ) -> None:
        self._curves = tuple(curves)
        self._angles = tuple(angles)
        self._tally = Tally(("quantity", "gantry angle"), _COLUMNS)
        self._missed: list[str] = []

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Measure one case; scans that are not CT are passed over."""
        if not yardstick.is_ct:
            return
        body = _as_stored(yardstick.mask, yardstick)
        beams = [aim_beam(body, case.reference.geometry, angle=angle) for angle in self._angles]
        for curve in self._curves:
            real = _relate(yardstick.reference, yardstick, body, curve)
            for method, prediction in predictions.items():
                synthetic = _relate(prediction, yardstick, body, curve)
                for beam in beams:
                    errors = range_errors(real, synthetic, body, beam=beam)
                    if errors is None:
                        self._missed.append(case.name)
                        continue
                    part = (curve.name, f"{beam.angle:g}\u00b0")
                    self._tally.add(case, method, part, asdict(errors))

    def finish(self, board: Scoreboard) -> Findings | None:
        """Tables by measure, every case in ``dose.csv``; None without CT."""
        if not self._tally.parts:
            return None
        tables = [self._tally.tabulate(board, column.name) for column in _COLUMNS[1:]]
        section = Section(
            title="Dose surrogate",
            lead=f"{_LEAD} Protocol {board.protocol.name}, fingerprint "
            f"{board.protocol.fingerprint}.",
            tables=(*(table for table in tables if table is not None), self._tabulate_curves()),
            notes=name_cases(
                {"No ray meets the body": list(dict.fromkeys(self._missed))} if self._missed else {}
            ),
        )
        summary = {
            "curves": [asdict(curve) for curve in self._curves],
            "by_beam": self._tally.to_json(board),
        }
        return Findings(section, {"dose.csv": self._tally.to_csv()}, summary)

    def _tabulate_curves(self) -> Table:
        return Table(
            ("Quantity", "HU: relative to water", "Source"),
            tuple(
                (
                    curve.name,
                    "; ".join(
                        f"{hu:g}: {value:.4g}".replace("-", "\u2212")
                        for hu, value in zip(curve.hu, curve.relative, strict=True)
                    ),
                    curve.source,
                )
                for curve in self._curves
            ),
            "The curves, linear between these points.",
        )


def _relate(
    scored: np.ndarray, yardstick: Yardstick, body: np.ndarray, curve: HuCurve
) -> np.ndarray:
    """From scored units, which start at 0 at the lower end of the CT range."""
    hu = _as_stored(scored, yardstick) + yardstick.protocol.ct_range_hu[0]
    return relate_to_water(hu, body, curve)


def _as_stored(array: np.ndarray, yardstick: Yardstick) -> np.ndarray:
    """From slices first back to ``(i, j, k)``."""
    return np.moveaxis(array, 0, yardstick.voxel_axis)
