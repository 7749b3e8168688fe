"""Dose surrogate of synthetic CT: by how many mm of water each beam would be misled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medtranslate.metrics.dose import (
    CURVES,
    GANTRY_ANGLES,
    Beam,
    HuCurve,
    aim_beam,
    map_axially,
    range_errors,
    relate_to_water,
)
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.similarity import bounding_box
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.depth_maps import draw_depth_maps
from medtranslate.report.sections import Figure, Section, Table
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
_SHOWN_PERCENTILE = 99
_LEAD = (
    "This is a surrogate and not a dose: straight parallel rays, no scatter, no beam model, and "
    "curves from HU of no particular scanner. It says by how many mm of water a beam's depth moves "
    "when the synthetic CT stands in for the real one. A positive error means that the synthetic "
    "CT holds too much, so that a beam planned on it goes too deep. Gantry angles are those of "
    "IEC 61217 for a patient on the back, head first. What lies outside the mask counts as vacuum "
    "in both scans. Mean \u00b1 SD over people."
)


@dataclass(frozen=True, eq=False)
class _DepthMaps:
    """Pictures of one case.

    Attributes:
        case: Its name.
        size_mm: Mean absolute difference over all pictures.
        limit_mm: End of the colour scale.
        maps: Title to picture, as ``map_axially`` makes it.
    """

    case: str
    size_mm: float
    limit_mm: float
    maps: Mapping[str, np.ndarray]


class DoseAnalysis(AbstractAnalysis):
    """Water-equivalent depth along beams, synthetic against real CT.

    Args:
        curves: HU to what a beam meets; give your scanner's own to replace the generic ones.
        angles: Gantry angles in degrees.
    """

    name = "dose"
    gathered = ("_tally", "_missed", "_worst")
    kinds = (_DepthMaps,)

    def __init__(
        self, *, curves: Sequence[HuCurve] = CURVES, angles: Sequence[float] = GANTRY_ANGLES
    ) -> None:
        self._curves = tuple(curves)
        self._angles = tuple(angles)
        self._tally = Tally(("quantity", "gantry angle"), _COLUMNS)
        self._missed: list[str] = []
        self._worst: _DepthMaps | None = None

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Measure one case; scans that are not CT are passed over."""
        if not yardstick.is_ct:
            return
        body = _as_stored(yardstick.mask, yardstick)
        beams = [aim_beam(body, case.reference.geometry, angle=angle) for angle in self._angles]
        model = next(iter(predictions))
        for curve in self._curves:
            real = _relate(yardstick.reference, yardstick, body, curve)
            for method, prediction in predictions.items():
                synthetic = _relate(prediction, yardstick, body, curve)
                if method == model and curve is self._curves[0]:
                    self._keep_worst(case.name, synthetic - real, body, beams)
                for beam in beams:
                    errors = range_errors(real, synthetic, body, beam=beam)
                    if errors is None:
                        self._missed.append(case.name)
                        continue
                    part = (curve.name, f"{beam.angle:g}\u00b0")
                    self._tally.add(case, method, part, asdict(errors))

    def _keep_worst(
        self, case: str, excess: np.ndarray, body: np.ndarray, beams: Sequence[Beam]
    ) -> None:
        """Draw the case whose depths differ most, by the mean size over its beams' maps."""
        maps = {
            f"gantry {beam.angle:g}\u00b0": _map_difference(excess, body, beam) for beam in beams
        }
        seen = np.concatenate([values[np.isfinite(values)] for values in maps.values()])
        if not seen.size:
            return
        size = float(np.abs(seen).mean())
        if self._worst is None or size > self._worst.size_mm:
            limit = float(np.percentile(np.abs(seen), _SHOWN_PERCENTILE))
            self._worst = _DepthMaps(case, size, max(float(np.ceil(limit)), 1.0), maps)

    def take(self, seen: Mapping[str, Any]) -> None:
        """Of two worst cases the worse stays."""
        before = self._worst
        super().take(seen)
        if before is not None and self._worst is not None:
            self._worst = max(before, self._worst, key=lambda worst: worst.size_mm)

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
            figures=self._draw(board.model),
            notes=name_cases(
                {"No ray meets the body": list(dict.fromkeys(self._missed))} if self._missed else {}
            ),
        )
        summary = {
            "curves": [asdict(curve) for curve in self._curves],
            "by_beam": self._tally.to_json(board),
        }
        return Findings(section, {"dose.csv": self._tally.to_csv()}, summary)

    def _draw(self, model: str) -> tuple[Figure, ...]:
        if self._worst is None:
            return ()
        caption = (
            f"Water-equivalent depth in the synthetic CT minus that in the real one, {model}, by "
            f"{self._curves[0].name}: the axial slice through the isocentre of the beams, which is "
            f"the centroid of the body, of {self._worst.case}, whose depths in this slice differ "
            f"most (mean size {self._worst.size_mm:.1f} mm of water). Front at the top."
        )
        svg = draw_depth_maps(
            self._worst.maps, limit_mm=self._worst.limit_mm, unit="mm of water", label=caption
        )
        return (Figure(svg, caption),)

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


def _map_difference(excess: np.ndarray, body: np.ndarray, beam: Beam) -> np.ndarray:
    """Difference of depth inside the body, NaN outside, cut to the body."""
    inside = beam.sample(body.astype(np.float32)) > 0.5
    picture = map_axially(np.where(inside, beam.accumulate(excess), np.nan), beam)
    shown = np.isfinite(picture)
    return picture[bounding_box(shown, margin=2)] if shown.any() else picture


def _relate(
    scored: np.ndarray, yardstick: Yardstick, body: np.ndarray, curve: HuCurve
) -> np.ndarray:
    """From scored units, which start at 0 at the lower end of the CT range."""
    hu = _as_stored(scored, yardstick) + yardstick.protocol.ct_range_hu[0]
    return relate_to_water(hu, body, curve)


def _as_stored(array: np.ndarray, yardstick: Yardstick) -> np.ndarray:
    """From slices first back to ``(i, j, k)``."""
    return np.moveaxis(array, 0, yardstick.voxel_axis)
