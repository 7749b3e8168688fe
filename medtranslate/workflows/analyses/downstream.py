"""Downstream: would a program trained on real scans find the same in synthetic ones?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medtranslate.metrics.overlap import Spacing, measure_agreement
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.sections import Section, Table
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.analyses.tally import Column, Tally, name_cases
from medtranslate.workflows.scored_case import ScoredCase

REAL = "real scan"
"""Name of the real scan among the methods."""

SEGMENTED_REAL = "segmentation of the real scan"
GIVEN = "given labels"

_COLUMNS = (
    Column("dice", "Dice, 0 to 1, higher is better", 3),
    Column("hd95_mm", "HD95 (mm), lower is better", 1),
    Column("volume_difference_ml", "Volume difference (ml), best at 0", 1, signed=True),
    Column("volume_difference_percent", "Volume difference (%), best at 0", 1, signed=True),
    Column("reference_ml", "Volume in the reference (ml)", 1),
)
_SHOWN = ("dice", "hd95_mm", "volume_difference_ml", "volume_difference_percent")


@dataclass(frozen=True, eq=False)
class SegmentedCase:
    """One case as a segmenter sees it, on the model grid.

    Arrays have shape ``(i, j, k)`` and hold whole numbers: 0, and labels from 1.

    Attributes:
        real: Segmentation of the real scan.
        synthetic: Method to segmentation of its prediction.
        given: Labels that came with the dataset; None if there are none.
        spacing: Voxel size of the grid in mm.
    """

    real: np.ndarray
    synthetic: Mapping[str, np.ndarray]
    given: np.ndarray | None
    spacing: Spacing


@dataclass(frozen=True, eq=False)
class DownstreamTask:
    """A segmenter trained on real scans, and the cases to try it on.

    Attributes:
        labels: Names; label 1 is the first.
        origin: Where the labels it learned came from, a clause.
        recipe: How it was trained, in words.
        people: Subjects it learned from.
        segment: Name of a held-out case to its segmentations.
    """

    labels: tuple[str, ...]
    origin: str
    recipe: str
    people: tuple[str, ...]
    segment: Callable[[str], SegmentedCase]


class DownstreamAnalysis(AbstractAnalysis):
    """Segments the real and the synthetic scan of each case and compares, label by label.

    Args:
        task: The segmenter.
    """

    name = "downstream"
    gathered = ("_tally", "_methods", "_left_out", "_learned_from")
    is_kept = False

    def __init__(self, task: DownstreamTask) -> None:
        self._task = task
        self._tally = Tally(("compared with", "label"), _COLUMNS)
        self._methods: tuple[str, ...] = ()
        self._left_out: dict[str, list[str]] = {}
        self._learned_from: set[str] = set()

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Segment one case: one more prediction."""
        found = self._task.segment(case.name)
        self._learned_from |= {case.subject} & {*self._task.people}
        self._methods = tuple(found.synthetic)
        for method, labels in found.synthetic.items():
            self._compare(case, method, SEGMENTED_REAL, found.real, labels, found.spacing)
        if found.given is not None:
            for method, labels in {REAL: found.real, **found.synthetic}.items():
                self._compare(case, method, GIVEN, found.given, labels, found.spacing)

    def _compare(
        self,
        case: ScoredCase,
        method: str,
        against: str,
        reference: np.ndarray,
        labels: np.ndarray,
        spacing: Spacing,
    ) -> None:
        for number, name in enumerate(self._task.labels, start=1):
            agreement = measure_agreement(reference == number, labels == number, spacing=spacing)
            if agreement is None:
                continue
            if agreement.hd95_mm is None:
                holder = "the reference" if agreement.reference_ml else "the prediction"
                what = f"{name}, {method} against {against}: only {holder} has it"
                self._left_out.setdefault(what, []).append(case.name)
            values = {
                "dice": agreement.dice,
                "hd95_mm": agreement.hd95_mm,
                "volume_difference_ml": agreement.difference_ml,
                "volume_difference_percent": agreement.difference_percent,
                "reference_ml": agreement.reference_ml,
            }
            self._tally.add(case, method, (against, name), values)

    def finish(self, board: Scoreboard) -> Findings:
        """Tables by measure, and every case in ``downstream.csv``."""
        tables = [
            self._tabulate(board, against, methods, name)
            for against, methods in (
                (SEGMENTED_REAL, self._methods),
                (GIVEN, (REAL, *self._methods)),
            )
            for name in _SHOWN
        ]
        section = Section(
            title="Downstream use",
            lead=self._lead(board),
            tables=tuple(table for table in tables if table.rows),
            notes=(*self._reading(), *name_cases(self._left_out)),
        )
        summary = {
            "segmenter": {
                "people": len(self._task.people),
                "labels": list(self._task.labels),
                "origin": self._task.origin,
                "recipe": self._task.recipe,
            },
            "by_label": self._tally.to_json(board),
            "one_side_only": self._left_out,
        }
        return Findings(section, {"downstream.csv": self._tally.to_csv()}, summary)

    def _tabulate(
        self, board: Scoreboard, against: str, methods: Sequence[str], name: str
    ) -> Table:
        """One quantity: a row for each label, a column for each method."""
        column = next(column for column in _COLUMNS if column.name == name)
        rows = []
        for label in self._task.labels:
            part = (against, label)
            found = [self._tally.summary(board, method, part, name) for method in methods]
            people = max((summary.n for summary in found if summary), default=0)
            if people:
                rows.append((label, str(people), *map(column.format, found)))
        caption = f"{column.label}; compared with the {against}."
        return Table(("Label", "People", *methods), tuple(rows), caption)

    def _lead(self, board: Scoreboard) -> str:
        task = self._task
        count = len(task.people)
        people = "1 person" if count == 1 else f"{count} people"
        others = "" if self._learned_from else " and nobody scored here"
        return (
            f"A small segmenter was trained on real scans alone: those of the {people} that "
            f"{board.model} was trained on, never a synthetic one{others}. Labels: "
            f"{task.origin}. Training: {task.recipe}. It then segmented the real and the synthetic "
            "scan of each person, on the model grid, in the normalised unit, inside the "
            "mask. If it finds the same in both, a program made for real scans can be given "
            "synthetic ones. Mean \u00b1 SD over people. HD95: larger of the two directed 95th "
            "percentile distances of the surfaces. Volume difference: prediction minus reference."
        )

    def _reading(self) -> tuple[str, ...]:
        seen = ", ".join(sorted(self._learned_from))
        warning = (
            f"The segmenter learned from scans of people who are scored here too: {seen}. It knows "
            "their real scans, so how it does on them says nothing about other people."
        )
        return (
            *([warning] if seen else []),
            "A label that neither side has counts nowhere. One that a single side has counts as "
            "Dice 0 and has no HD95, so a mean HD95 tells only of labels that were found.",
            "Patches were mirrored in training: it cannot learn labels that tell left from right.",
            "Agreement with the segmentation of the real scan is no accuracy: both can be wrong "
            "alike."
            + (
                " Where labels were given, the real scan's own column says how good the segmenter "
                "is."
                if any(against == GIVEN for against, _ in self._tally.parts)
                else ""
            ),
        )
