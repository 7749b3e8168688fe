"""Lesion audit: does the synthetic image show lesions, lose them, or invent some?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from medtranslate.data.degradation import background_of
from medtranslate.metrics.lesions import (
    MIN_VOLUME_MM3,
    SHELL_MM,
    VISIBLE_SD,
    VISIBLE_SHARE,
    InsertedLesion,
    RealLesion,
)
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.statistics import Summary
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.sections import Section, Table
from medtranslate.report.tables import Cell, format_csv
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.analyses.lesion_trials import (
    InsertionTrial,
    Scene,
    Translate,
    try_erasing,
    try_inserting,
)
from medtranslate.workflows.analyses.retranslation import REFUSED, Retranslation
from medtranslate.workflows.scored_case import ScoredCase

RADII_MM = (6.0, 6.0, 4.0, 4.0, 2.5, 2.5)
"""Of the lesions put into each source, as many as find a place."""

CONTRASTS = {"T1w": -0.3, "CT": -0.02}
"""What a lesion adds to a source of this modality, as a fraction of what is there."""

OTHER_CONTRAST = 0.3
"""And to any other, such as T2w and FLAIR, where lesions are bright."""

_FALSE = "false lesions per volume"
_PERCENTILE = 99.5
_WORDS = ("lesion", "tumor", "tumour")
_COLUMNS = (
    "case", "kind", "radius_mm", "volume_mm3", "contrast_source", "contrast_real",
    "contrast_synthetic", "contrast_after_erasing", "retained", "visible_in_real", "shown",
    "invented", "false_lesions",
)  # fmt: skip

_Rates = dict[str, dict[str, float]]
"""What is counted, then case to value."""


class LesionAudit(AbstractAnalysis):
    """Puts lesions into each source and takes real ones out, and looks what the model makes of it.

    Args:
        model: Translates the changed sources.
        radii_mm: Of the lesions that are put in, largest first.
    """

    name = "lesions"
    gathered = ("_inserted", "_real", "_notes")
    kinds = (InsertionTrial, InsertedLesion, RealLesion)

    def __init__(self, model: Retranslation, radii_mm: Sequence[float] = RADII_MM) -> None:
        self._model = model
        self._radii_mm = tuple(radii_mm)
        self._contrast = CONTRASTS.get(model.modality, OTHER_CONTRAST)
        self._inserted: dict[str, InsertionTrial] = {}
        self._real: dict[str, list[tuple[float, RealLesion]]] = {}  # mm3 and lesion
        self._notes: list[str] = []

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Audit one case: one more prediction, and a second if it has lesions."""
        scene, translate = self._set_up(case, yardstick, next(iter(predictions.values())))
        try:
            trial = try_inserting(
                scene, translate, radii_mm=self._radii_mm, contrast=self._contrast
            )
            real = try_erasing(scene, translate)
        except REFUSED as error:
            self._notes.append(f"{case.name}: the changed source was refused ({error}).")
            return
        placed = 0 if trial is None else len(trial.lesions)
        if placed < len(self._radii_mm):
            self._notes.append(
                f"{case.name}: healthy places for {placed} of {len(self._radii_mm)} lesions."
            )
        if trial is not None:
            self._inserted[case.name] = trial
        if real:
            self._real[case.name] = [(region.volume_mm3, lesion) for region, lesion in real]

    def _set_up(
        self, case: ScoredCase, yardstick: Yardstick, prediction: np.ndarray
    ) -> tuple[Scene, Translate]:
        """The images in file order above their backgrounds, and the model for changed sources."""
        stored = self._model.read_source(case.name)
        background, axis = background_of(stored), yardstick.voxel_axis
        mask = np.moveaxis(yardstick.mask, 0, axis)
        source = stored.voxels.astype(np.float64) - background

        def translate(changed: np.ndarray) -> np.ndarray:
            array = (changed + background).astype(np.float32)[None]
            predicted = self._model.translate(case.name, replace(stored, array=array), yardstick)
            return np.moveaxis(predicted, 0, axis)

        lesions = [region for name, region in case.labels.items() if _is_lesion(name)]
        scene = Scene(
            source=source,
            source_range=float(np.percentile(source[mask], _PERCENTILE)),
            real=np.moveaxis(yardstick.reference, 0, axis),
            synthetic=np.moveaxis(prediction, 0, axis),
            data_range=yardstick.data_range,
            mask=mask,
            lesions=np.logical_or.reduce([np.zeros_like(mask), *lesions]),
            spacing=stored.geometry.spacing,
        )
        return scene, translate

    def finish(self, board: Scoreboard) -> Findings | None:
        """Rates over people; None if no case had a place for a lesion, nor one of its own."""
        if not (self._inserted or self._real):
            return None
        rates = _count_inserted(self._inserted) | _count_real(self._real)
        summaries = {name: board.over_people(by_case) for name, by_case in rates.items()}
        return Findings(
            section=Section(
                title="Lesions",
                lead=self._lead(board),
                tables=(_table(summaries, self._inserted, self._real, board),),
                notes=(*_reading(self._real), *self._notes),
            ),
            files={"lesions.csv": format_csv(_COLUMNS, self._rows())},
            summary={name: summary.to_json() for name, summary in summaries.items()},
        )

    def _lead(self, board: Scoreboard) -> str:
        radii = ", ".join(f"{radius:g}" for radius in sorted(set(self._radii_mm), reverse=True))
        way = "darker" if self._contrast < 0 else "brighter"
        low, high = SHELL_MM
        return (
            f"Simulated lesions, ellipsoids of {radii} mm radius, {100 * abs(self._contrast):g} % "
            f"{way} than what is there, were put into healthy, uniform places of each source "
            f"(seed 0), and {board.model} translated it again. Given lesions were also filled from "
            "their surroundings, to see what the model shows where none is. Contrast: mean of the "
            f"lesion minus median of the healthy shell {low:g} to {high:g} mm around it, over that "
            f"median. Seen: a difference above {VISIBLE_SD:g} standard deviation of the shell and "
            f"{100 * VISIBLE_SHARE:g} % of the data range. False lesion: a connected place of "
            f"at least {MIN_VOLUME_MM3:g} mm³, farther than {high:g} mm from all that was put in, "
            "that changes by as much. Intensities as by protocol "
            f"{board.protocol.name} ({board.protocol.fingerprint})."
        )

    def _rows(self) -> Iterator[dict[str, Cell]]:
        for case, trial in self._inserted.items():
            for radius, one in trial.lesions:
                yield {
                    "case": case,
                    "kind": "inserted",
                    "radius_mm": radius,
                    "contrast_source": one.source,
                    "contrast_synthetic": one.synthetic,
                    "retained": one.retained,
                    "shown": _word(one.detected),
                    "false_lesions": trial.false_lesions,
                }
        for case, lesions in self._real.items():
            for volume_mm3, lesion in lesions:
                yield {
                    "case": case,
                    "kind": "given",
                    "volume_mm3": volume_mm3,
                    "contrast_real": lesion.real,
                    "contrast_synthetic": lesion.synthetic,
                    "contrast_after_erasing": lesion.erased,
                    "retained": lesion.retained if lesion.visible else "",
                    "visible_in_real": _word(lesion.visible),
                    "shown": _word(lesion.shown),
                    "invented": _word(lesion.invented),
                }


def _is_lesion(label: str) -> bool:
    return any(word in label.lower() for word in _WORDS)


def _word(value: bool) -> str:
    return "true" if value else "false"


def _count_inserted(trials: Mapping[str, InsertionTrial]) -> _Rates:
    """Rates of each case over the lesions put in, all of them and by radius."""
    rates: _Rates = {}

    def keep(name: str, case: str, lesions: Sequence[InsertedLesion]) -> None:
        rates.setdefault(f"{name}: shown", {})[case] = fmean(one.detected for one in lesions)
        rates.setdefault(f"{name}: contrast retained", {})[case] = fmean(
            one.retained for one in lesions
        )

    for case, trial in trials.items():
        keep("inserted", case, [one for _, one in trial.lesions])
        for radius in sorted({radius for radius, _ in trial.lesions}, reverse=True):
            keep(f"inserted, {radius:g} mm", case, [o for r, o in trial.lesions if r == radius])
    for case, trial in trials.items():
        rates.setdefault(_FALSE, {})[case] = trial.false_lesions
    return rates


def _count_real(audits: Mapping[str, Sequence[tuple[float, RealLesion]]]) -> _Rates:
    """Rates of each case over its lesions that are seen in the real scan."""
    measures: dict[str, Callable[[RealLesion], float]] = {
        "given: shown": lambda one: one.shown,
        "given: contrast retained": lambda one: one.retained,
        "given, erased from the source: still shown": lambda one: one.invented,
    }
    rates: _Rates = {}
    for case, audit in audits.items():
        visible = [one for _, one in audit if one.visible]
        share = fmean(one.visible for _, one in audit)
        rates.setdefault("given: seen in the real scan", {})[case] = share
        if visible:
            for name, measure in measures.items():
                rates.setdefault(name, {})[case] = fmean(measure(one) for one in visible)
    return rates


def _table(
    summaries: Mapping[str, Summary],
    trials: Mapping[str, InsertionTrial],
    audits: Mapping[str, Sequence[tuple[float, RealLesion]]],
    board: Scoreboard,
) -> Table:
    inserted = sum(len(trial.lesions) for trial in trials.values())
    given = [lesion for audit in audits.values() for _, lesion in audit]
    visible = sum(lesion.visible for lesion in given)
    return Table(
        columns=(
            "Lesions",
            "Mean",
            f"{100 * board.protocol.interval_level:g} % interval",
            "People",
        ),
        rows=tuple(
            (name, _format(name, one.mean), _format_interval(name, one), str(one.n))
            for name, one in summaries.items()
        ),
        caption=f"{inserted} lesions put in; {len(given)} given ones, {visible} of them seen in "
        "the real scan. A person's lesions are averaged first; rows of given lesions but the "
        "first count those that are seen in the real scan.",
    )


def _format(name: str, value: float) -> str:
    if name == _FALSE:
        return f"{value:.1f}"
    return f"{100 * value:.0f} %".replace("-", "\u2212")


def _format_interval(name: str, summary: Summary) -> str:
    if summary.interval is None:
        return "\u2013"
    return " to ".join(_format(name, end) for end in summary.interval)


def _reading(audits: Mapping[str, object]) -> tuple[str, ...]:
    """How to read the rows that are there."""
    inserted = (
        "Contrast retained by lesions that were put in compares the synthetic image with the "
        "source: another contrast need not show a lesion as strongly, and 100 % is no aim."
    )
    given = (
        "Contrast retained by given lesions compares with the real scan: 100 % is the aim, a "
        "negative one is turned round. A lesion still shown after it was erased from the source "
        "cannot come from it: the model draws it from the place or the surroundings, or the "
        "filling was incomplete."
    )
    return (inserted, given) if audits else (inserted,)
