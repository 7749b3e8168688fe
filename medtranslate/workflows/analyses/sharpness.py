"""Sharpness: blur, lost contrast, slices and windows that do not fit; PSNR forgives them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.sharpness import (
    BIN_WIDTH_PER_MM,
    Spectrum,
    gradient_ratio,
    histogram_distance,
    radial_power_spectrum,
    seam_score,
    spectrum_difference,
    spectrum_distance,
    through_plane_error,
)
from medtranslate.metrics.statistics import mean_by_subject
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.plots import Line, plot_lines
from medtranslate.report.sections import Figure, Section, Table
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.analyses.tally import Column, Tally
from medtranslate.workflows.scored_case import ScoredCase

_MAX_LINES = 5
_READING = (
    "A blurred image can win in PSNR, for it avoids the large errors of a detail put in the wrong "
    "place. It shows here. A gradient ratio below 1 means blur, above 1 noise or too much "
    "sharpening. The spectrum distance says how far the fineness of detail is from the real "
    "scan's; in the drawing, a line that falls to the right has lost its fine detail. The "
    "histogram distance ignores where intensities lie, the through-plane error says how badly "
    "steps from slice to slice fit, and a seam score above 1 means that the windows of the "
    "prediction can be seen. All are taken inside the mask, with the size of the voxels in mm."
)


class SharpnessAnalysis(AbstractAnalysis):
    """Measures texture, sharpness and consistency of every method."""

    name = "sharpness"
    gathered = ("_scaled", "_hu", "_curves")

    def __init__(self) -> None:
        self._scaled = Tally((), _columns("scaled intensity", digits=4))
        self._hu = Tally((), _columns("HU", digits=2))
        self._curves: dict[str, dict[str, dict[int, float]]] = {}

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Measure one case."""
        spacing = _sliced_spacing(case, yardstick)
        mask, reference = yardstick.mask, yardstick.reference
        cells = None if case.windows is None else np.moveaxis(case.windows, yardstick.voxel_axis, 0)
        real = radial_power_spectrum(reference, mask, spacing)
        for method, prediction in predictions.items():
            spectrum = radial_power_spectrum(prediction, mask, spacing)
            values = {
                "gradient_ratio": gradient_ratio(reference, prediction, mask, spacing),
                "spectrum_distance_db": spectrum_distance(real, spectrum),
                "histogram_distance": histogram_distance(reference[mask], prediction[mask]),
                "through_plane_error_per_mm": through_plane_error(
                    reference, prediction, mask, spacing_mm=spacing[0]
                ),
                "seam_score": None
                if cells is None
                else seam_score(reference, prediction, mask, cells),
            }
            self._tally(is_ct=yardstick.is_ct).add(case, method, (), values)
            self._curves.setdefault(method, {})[case.name] = _curve(real, spectrum)

    def finish(self, board: Scoreboard) -> Findings:
        """One table of all measures, the spectra as a drawing, every case in ``sharpness.csv``."""
        tally = self._tally(is_ct=board.is_ct)
        section = Section(
            title="Sharpness and texture",
            lead=f"{_READING} Protocol {board.protocol.name}, fingerprint "
            f"{board.protocol.fingerprint}.",
            tables=(_tabulate(tally, board),),
            figures=self._draw(board),
            notes=_notes(tally, board),
        )
        return Findings(
            section, {"sharpness.csv": tally.to_csv()}, {"by_method": tally.to_json(board)}
        )

    def _tally(self, *, is_ct: bool) -> Tally:
        return self._hu if is_ct else self._scaled

    def _draw(self, board: Scoreboard) -> tuple[Figure, ...]:
        """Mean spectra against the real scan's, at the frequencies that every case has."""
        lines = {}
        for method in board.methods[:_MAX_LINES]:
            curves = self._curves[method]
            shared = sorted(set.intersection(*(set(curve) for curve in curves.values())))
            means = [
                mean_by_subject({case: curve[ring] for case, curve in curves.items()},
                                board.subjects).values()
                for ring in shared
            ]  # fmt: skip
            lines[method] = Line(
                x=[(ring + 0.5) * BIN_WIDTH_PER_MM for ring in shared],
                y=[float(np.mean(list(values))) for values in means],
            )
        if not lines[board.model].x:
            return ()
        caption = (
            "Power of the prediction over that of the real scan, by fineness of detail, mean over "
            "people. 0 dB is as in the real scan, below it detail is missing."
        )
        drawn = plot_lines(
            lines,
            x_label="spatial frequency (cycles per mm)",
            y_label="power over real (dB)",
            label=caption,
        )
        return (Figure(drawn, caption),)


def _columns(unit: str, *, digits: int) -> tuple[Column, ...]:
    return (
        Column("gradient_ratio", "Gradient magnitude, prediction / reference; best at 1", 3),
        Column("spectrum_distance_db", "Power spectrum distance (dB); lower is better", 2),
        Column("histogram_distance", f"Histogram distance ({unit}); lower is better", digits),
        Column(
            "through_plane_error_per_mm",
            f"Through-plane gradient error ({unit} per mm); lower is better",
            digits,
        ),
        Column("seam_score", "Seam score; 1 if windows cannot be seen", 3),
    )


def _sliced_spacing(case: ScoredCase, yardstick: Yardstick) -> tuple[float, float, float]:
    """Voxel size in the yardstick's order: slices first, the others as in the file."""
    spacing = case.reference.geometry.spacing
    rest = [size for axis, size in enumerate(spacing) if axis != yardstick.voxel_axis]
    return spacing[yardstick.voxel_axis], rest[0], rest[1]


def _curve(real: Spectrum, predicted: Spectrum) -> dict[int, float]:
    difference = spectrum_difference(real, predicted)
    return {
        int(ring): float(value) for ring, value in zip(real.bins, difference, strict=True)
    }  # fmt: skip


def _tabulate(tally: Tally, board: Scoreboard) -> Table:
    """A row for each measure that at least one case has."""
    rows = []
    for column in tally.columns:
        found = [tally.summary(board, method, (), column.name) for method in board.methods]
        people = max((summary.n for summary in found if summary), default=0)
        if people:
            rows.append((column.label, str(people), *map(column.format, found)))
    return Table(("Measure", "People", *board.methods), tuple(rows), "Mean \u00b1 SD over people.")


def _notes(tally: Tally, board: Scoreboard) -> tuple[str, ...]:
    notes = [
        "Spectrum: inside the mask, 0 outside it, Hann window over the mask's bounding box, rings "
        f"of {BIN_WIDTH_PER_MM:g} cycles per mm up to the Nyquist frequency of the finest axis; "
        "distance is the root mean square of the difference in dB. Contrast counts in it too. "
        "Histogram: Wasserstein distance."
    ]
    if tally.summary(board, board.model, (), "seam_score") is None:
        notes.append(
            "No seam score: the scans were predicted as a whole, or it is not known in which "
            "windows."
        )
    return tuple(notes)
