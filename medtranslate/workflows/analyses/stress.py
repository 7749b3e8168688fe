"""Stress: how the score falls as the source gets worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medtranslate.data.degradation import DEGRADATIONS, Degradation
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.scoring import average_slices, score_slices
from medtranslate.metrics.statistics import Summary
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.plots import Line, plot_lines
from medtranslate.report.sections import Figure, Section, Table
from medtranslate.report.tables import Cell, format_csv
from medtranslate.report.wording import format_interval, format_value
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.analyses.retranslation import REFUSED, Retranslation
from medtranslate.workflows.scored_case import ScoredCase

_MEASURES = ("psnr", "ssim")
_COLUMNS = ("case", "damage", "strength", *_MEASURES)

_Key = tuple[str, float]
"""Name of a degradation and its strength."""
_Kinds = Sequence[tuple[Degradation, Sequence[float]]]
_Points = Mapping[tuple[_Key, str], Summary]


class StressAnalysis(AbstractAnalysis):
    """Degrades each source, translates it again and scores it against the same real scan.

    Args:
        model: Translates the degraded sources.
        degradations: What is done to them; those that cannot happen to the modality are left out.
    """

    name = "stress"
    gathered = ("_scores", "_failures")

    def __init__(
        self, model: Retranslation, degradations: Sequence[Degradation] = DEGRADATIONS
    ) -> None:
        self._model = model
        is_ct = model.modality == "CT"
        self._degradations = [one for one in degradations if one.for_ct or not is_ct]
        self._scores: dict[_Key, dict[str, dict[str, float]]] = {}  # to case to measure
        self._failures: list[str] = []

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Score one case undamaged and under every degradation."""
        undamaged = _score(yardstick, next(iter(predictions.values())))
        source = self._model.read_source(case.name)
        for degradation in self._degradations:
            self._keep(degradation, degradation.neutral, case.name, undamaged)
            for strength in degradation.strengths:
                damaged = degradation.apply(source, strength)
                try:
                    prediction = self._model.translate(case.name, damaged, yardstick)
                except REFUSED as error:
                    self._failures.append(
                        f"{case.name}, {degradation.name} {strength:g}: refused ({error}); it "
                        "counts in no mean."
                    )
                    continue
                self._keep(degradation, strength, case.name, _score(yardstick, prediction))

    def _keep(
        self, degradation: Degradation, strength: float, case: str, scores: dict[str, float]
    ) -> None:
        self._scores.setdefault((degradation.name, strength), {})[case] = scores

    def finish(self, board: Scoreboard) -> Findings:
        """Score against strength, over people."""
        points = {
            (key, measure): board.over_people(
                {case: scores[measure] for case, scores in by_case.items()}
            )
            for key, by_case in self._scores.items()
            for measure in _MEASURES
        }
        kinds = [(one, self._strengths(one)) for one in self._degradations]
        return Findings(
            section=Section(
                title="If the source were worse",
                lead=_lead(self._degradations, board),
                tables=(_table(kinds, points, board),),
                figures=tuple(_draw(one, strengths, points) for one, strengths in kinds),
                notes=tuple(self._failures),
            ),
            files={"stress.csv": format_csv(_COLUMNS, self._rows())},
            summary=_to_json(kinds, points),
        )

    def _strengths(self, degradation: Degradation) -> list[float]:
        """Strengths that some case was scored at, in order, the neutral one among them."""
        return sorted(strength for name, strength in self._scores if name == degradation.name)

    def _rows(self) -> list[dict[str, Cell]]:
        return [
            {"case": case, "damage": name, "strength": strength, **scores}
            for (name, strength), by_case in self._scores.items()
            for case, scores in by_case.items()
        ]


def _score(yardstick: Yardstick, prediction: np.ndarray) -> dict[str, float]:
    means = average_slices(list(score_slices(yardstick, prediction)))
    return {measure: means[measure] for measure in _MEASURES}


def _lead(degradations: Sequence[Degradation], board: Scoreboard) -> str:
    what = "; ".join(
        f"{one.name}: {one.quantity} {', '.join(f'{strength:g}' for strength in one.strengths)}"
        for one in degradations
    )
    return (
        f"Each source was degraded, then prepared and translated by {board.model} as any other "
        f"scan, and scored against the same real scan in the same mask. {what}. Random damage has "
        f"seed 0. Protocol {board.protocol.name} ({board.protocol.fingerprint}), PSNR and SSIM of "
        "slices."
    )


def _table(kinds: _Kinds, points: _Points, board: Scoreboard) -> Table:
    rows = []
    for degradation, strengths in kinds:
        for strength in strengths:
            key = (degradation.name, strength)
            scores = [points[key, measure] for measure in _MEASURES]
            cells = [
                text
                for measure, one in zip(_MEASURES, scores, strict=True)
                for text in (
                    format_value(one.mean, measure, is_ct=board.is_ct),
                    format_interval(one.interval, measure, is_ct=board.is_ct),
                )
            ]
            told = "none" if strength == degradation.neutral else f"{strength:g}"
            rows.append((degradation.name, told, *cells, str(scores[0].n)))
    level = f"{100 * board.protocol.interval_level:g} % interval"
    return Table(
        columns=("Damage", "Strength", "PSNR (dB)", level, "SSIM", level, "People"),
        rows=tuple(rows),
        caption="Mean over people.",
    )


def _draw(degradation: Degradation, strengths: Sequence[float], points: _Points) -> Figure:
    summaries = [points[(degradation.name, one), "psnr"] for one in strengths]
    everybody = max(one.n for one in summaries)
    heights = [
        one.mean if math.isfinite(one.mean) and one.n == everybody else math.nan
        for one in summaries
    ]
    label = f"PSNR of the model against {degradation.name}"
    return Figure(
        plot_lines(
            {"model": Line(strengths, heights)},
            x_label=f"{degradation.name}: {degradation.quantity}",
            y_label="PSNR (dB)",
            label=label,
        ),
        f"{label}. The undamaged source stands at {degradation.neutral:g}; strengths at which a "
        "source was refused are left out.",
    )


def _to_json(kinds: _Kinds, points: _Points) -> dict[str, Any]:
    """Plain data for ``summary.json``."""
    return {
        degradation.name: {
            "quantity": degradation.quantity,
            "scores": {
                f"{strength:g}": {
                    measure: points[(degradation.name, strength), measure].to_json()
                    for measure in _MEASURES
                }
                for strength in strengths
            },
        }
        for degradation, strengths in kinds
    }
