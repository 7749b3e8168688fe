"""One result under many rules: what the same voxels score the way others score them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtranslate.metrics.rule_scoring import score_by_rule
from medtranslate.metrics.rules import Rule
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.statistics import (
    Summary,
    mean_by_subject,
    summarise,
)
from medtranslate.metrics.yardstick import Yardstick, find_voxel_axis
from medtranslate.report.sections import Section, Table
from medtranslate.report.tables import Cell, format_csv
from medtranslate.report.wording import format_value
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.scored_case import ScoredCase

_MEASURES = ("psnr", "ssim", "ms_ssim", "mae")
_COLUMNS = ("case", "rule", "hash", "measure", "value")
_Values = dict[str, dict[str, dict[str, float]]]
"""Rule to measure to case to value."""


@dataclass(frozen=True)
class _Row:
    """What the model scored under one rule.

    Attributes:
        name: Of the rule.
        fingerprint: Its hash.
        values: Measure to case to value.
        summaries: Measure to its mean and interval over people.
    """

    name: str
    fingerprint: str
    values: Mapping[str, Mapping[str, float]]
    summaries: Mapping[str, Summary]


class RulesAnalysis(AbstractAnalysis):
    """Scores the model under every given rule, beside the protocol of the main tables.

    Args:
        rules: Rules found in use; those not defined for the scans are named and left out.
    """

    name = "rules"
    gathered = ("_values",)

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._values: _Values = {}

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Score the model's prediction of one case by every rule that applies."""
        reference, prediction = _compared(case, yardstick, predictions)
        mask = np.moveaxis(yardstick.mask, 0, yardstick.voxel_axis)
        for rule in self._rules:
            if not rule.applies_to(is_ct=yardstick.is_ct):
                continue
            axis = find_voxel_axis(case.reference.geometry, rule.axis)
            first, second, inside = (
                np.moveaxis(array, axis, 0) for array in (reference, prediction, mask)
            )
            found = score_by_rule(rule, first, second, inside, is_ct=yardstick.is_ct)
            for measure, value in found.items():
                by_case = self._values.setdefault(rule.name, {}).setdefault(measure, {})
                by_case[case.name] = value

    def finish(self, board: Scoreboard) -> Findings:
        """The table of all rules, the values of every case, and what each rule does."""
        applied = [rule for rule in self._rules if rule.applies_to(is_ct=board.is_ct)]
        rows = [_protocol_row(board)] + [
            _row(rule.name, rule.fingerprint, self._values.get(rule.name, {}), board)
            for rule in applied
        ]
        return Findings(
            section=_section(board, rows, applied, _notes(board, self._values, self._rules)),
            files={
                "rules.csv": format_csv(_COLUMNS, _csv_rows(rows)),
                "rules.json": _definitions(applied),
            },
            summary=_to_json(rows),
        )


def _compared(
    case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Reference and prediction ``(i, j, k)``: CT in HU as stored, MR with the peak at 1."""
    model, brought = next(iter(predictions.items()))
    if yardstick.is_ct:
        return case.reference.voxels, case.predictions[model][0].voxels
    back = [
        np.moveaxis(array, 0, yardstick.voxel_axis) / yardstick.data_range
        for array in (yardstick.reference, brought)
    ]
    return back[0], back[1]


def _protocol_row(board: Scoreboard) -> _Row:
    """The protocol of the main tables as the first rule."""
    values = {
        measure: {row.case: row.scores.values[measure] for row in board.of(board.model)}
        for measure in ("psnr", "ssim", "mae")
    }
    return _row(board.protocol.name, board.protocol.fingerprint, values, board)


def _row(
    name: str, fingerprint: str, values: Mapping[str, Mapping[str, float]], board: Scoreboard
) -> _Row:
    summaries = {
        measure: summarise(
            list(mean_by_subject(by_case, board.subjects).values()),
            settings=board.bootstrap,
        )
        for measure, by_case in values.items()
    }
    return _Row(name, fingerprint, values, summaries)


def _section(
    board: Scoreboard, rows: Sequence[_Row], applied: Sequence[Rule], notes: tuple[str, ...]
) -> Section:
    unit = "HU" if board.is_ct else "scaled intensity"
    scores = Table(
        columns=("Rule", "Hash", "PSNR (dB)", "SSIM", "MS-SSIM", f"MAE ({unit})", "People"),
        rows=tuple(_cells(row, is_ct=board.is_ct) for row in rows),
        caption="Mean over people; a dash where the original computes no such score.",
    )
    words = Table(
        columns=("Rule", "Hash", "What it does"),
        rows=tuple(
            (
                rule.name,
                rule.fingerprint,
                ". ".join(f"{topic}: {sentence}" for topic, sentence in rule.describe()) + ".",
            )
            for rule in applied
        ),
        caption="The rules. The first row above is the protocol described with the main table.",
    )
    return Section(
        title="One result, many rules",
        lead=f"The same voxels of {board.model}, scored as others score theirs."
        f"{_spread(rows)} A number from a paper compares only with the row of its own rule, and "
        "two numbers compare only if their hashes agree.",
        tables=(scores, words),
        notes=notes,
    )


def _cells(row: _Row, *, is_ct: bool) -> tuple[str, ...]:
    kinds = {"psnr": "psnr", "ssim": "ssim", "ms_ssim": "ssim", "mae": "mae"}
    means = {name: summary.mean for name, summary in row.summaries.items()}
    people = max((summary.n for summary in row.summaries.values()), default=0)
    scores = [format_value(means.get(name), kinds[name], is_ct=is_ct) for name in _MEASURES]
    return row.name, row.fingerprint, *scores, str(people)


def _spread(rows: Sequence[_Row]) -> str:
    """From the lowest to the highest PSNR, if two rules give finite ones."""
    found = [row.summaries["psnr"].mean for row in rows if "psnr" in row.summaries]
    finite = [value for value in found if np.isfinite(value)]
    if len(finite) < 2:
        return ""
    low, high = (format_value(end, "psnr", is_ct=False) for end in (min(finite), max(finite)))
    return f" Nothing but the rule moves PSNR from {low} to {high} dB."


def _notes(board: Scoreboard, values: _Values, rules: Sequence[Rule]) -> tuple[str, ...]:
    """Which rules do not apply, and which cases a measure could not be taken of."""
    notes = []
    for rule in rules:
        if not rule.applies_to(is_ct=board.is_ct):
            scans = "CT in HU" if board.is_ct else "MR"
            notes.append(
                f"{rule.name} ({rule.fingerprint}) is defined for {rule.scans} only and these "
                f"scans are {scans}: left out."
            )
            continue
        for measure in rule.measures:
            by_case = values.get(rule.name, {}).get(measure, {})
            if missing := [case for case in board.cases if case not in by_case]:
                notes.append(
                    f"{rule.name}: no {measure} of {', '.join(missing)}; volume or mask is too "
                    "small for it."
                )
    return tuple(notes)


def _csv_rows(rows: Sequence[_Row]) -> list[dict[str, Cell]]:
    """One line for each case and measure of each rule, the hash beside every value."""
    return [
        {"case": case, "rule": row.name, "hash": row.fingerprint, "measure": name, "value": value}
        for row in rows
        for name, by_case in row.values.items()
        for case, value in by_case.items()
    ]


def _definitions(rules: Sequence[Rule]) -> str:
    """Every number and sentence of the rules, as JSON text."""
    data = {
        rule.name: {
            "hash": rule.fingerprint,
            "numbers": rule.model_dump(mode="json"),
            "words": dict(rule.describe()),
        }
        for rule in rules
    }
    return json.dumps(data, indent=2) + "\n"


def _to_json(rows: Sequence[_Row]) -> dict[str, Any]:
    """Plain data for ``summary.json``."""
    return {
        row.name: {
            "hash": row.fingerprint,
            "measures": {name: one.to_json() for name, one in row.summaries.items()},
        }
        for row in rows
    }
