"""Subgroups: whether the model serves everybody alike, by what the participants table says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medtranslate.metrics.scoreboard import Scoreboard, goodness
from medtranslate.metrics.scoring import MEASURES
from medtranslate.metrics.statistics import (
    Difference,
    Summary,
    compare,
    json_number,
    summarise,
)
from medtranslate.metrics.subgroups import Grouping, age_bands, find_groupings
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.sections import Section, Table
from medtranslate.report.tables import Cell, format_csv
from medtranslate.report.wording import format_interval, format_value, unit_of
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.scored_case import ScoredCase

SHOWN_MEASURES = ("psnr", "ssim")
MIN_PEOPLE = 3
COLUMNS = (
    "topic", "column", "group", "n", "measure", "mean", "low", "high", "best_baseline",
    "mean_difference", "difference_low", "difference_high",
)  # fmt: skip


class Subgroups(AbstractAnalysis):
    """Scores by sex, age band, site, scanner and pathology.

    Args:
        participants: What the participants table says of each subject, column to value; of no
            other table column than those five is anything passed on.
    """

    name = "subgroups"

    def __init__(self, participants: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._participants = participants or {}

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Nothing: the scores are on the scoreboard."""

    def finish(self, board: Scoreboard) -> Findings | None:
        """One table a grouping; None if nothing is known of anybody."""
        people = dict.fromkeys(board.subjects.values())
        groupings = find_groupings({one: self._participants.get(one, {}) for one in people})
        if not groupings:
            return None
        rows = [row for grouping in groupings for row in _rows(board, grouping)]
        section = Section(
            title="Subgroups",
            lead="The same people divided by the participants table, the scans of a person "
            f"averaged first. Mean of {board.model} with its "
            f"{100 * board.bootstrap.level:g} % percentile bootstrap interval over the people of "
            "the group, and how far it stands above or below the baseline that is best over all "
            "people. No group is tested against another: with few people in each, a difference "
            f"between rows is no finding. Protocol {board.protocol.name}, fingerprint "
            f"{board.protocol.fingerprint}.",
            tables=tuple(_tabulate(board, grouping) for grouping in groupings),
            notes=tuple(_notes(groupings)),
        )
        summary = {"groups": [_to_json(row) for row in rows]}
        return Findings(section, {"subgroups.csv": format_csv(COLUMNS, rows)}, summary)


def _summaries(
    board: Scoreboard, people: Sequence[str], measure: str
) -> tuple[Summary, Difference | None]:
    """The model's scores of these people, and their differences to the best baseline."""
    mine = _restrict(board.by_subject(board.model, measure), people)
    scores = summarise(list(mine.values()), settings=board.bootstrap)
    baseline = board.best_baseline(measure)
    if baseline is None:
        return scores, None
    difference = compare(
        mine,
        _restrict(board.by_subject(baseline, measure), people),
        goodness=lambda value: goodness(measure, value),
        settings=board.bootstrap,
    )
    return scores, difference


def _restrict(values: Mapping[str, float], people: Sequence[str]) -> dict[str, float]:
    return {person: values[person] for person in people}


def _tabulate(board: Scoreboard, grouping: Grouping) -> Table:
    columns = [grouping.topic.capitalize(), "n"]
    for measure in SHOWN_MEASURES:
        unit = unit_of(measure, is_ct=board.is_ct)
        columns.append(f"{MEASURES[measure].label}{f', {unit}' if unit else ''}")
        if board.baselines:
            columns.append(f"minus {board.best_baseline(measure)}")
    rows = []
    for value, people in grouping.groups.items():
        cells = [value, str(len(people))]
        for measure in SHOWN_MEASURES:
            scores, difference = _summaries(board, people, measure)
            cells.append(_cell(scores, measure, signed=False))
            if difference is not None:
                cells.append(_cell(difference, measure, signed=True))
        rows.append(tuple(cells))
    years = ", in years" if grouping.topic == "age" else ""
    caption = f"By {grouping.topic} (column {grouping.column}{years}); higher is better."
    return Table(tuple(columns), tuple(rows), caption)


def _cell(summary: Summary | Difference, measure: str, *, signed: bool) -> str:
    mean = format_value(summary.mean, measure, is_ct=False, signed=signed)
    if summary.interval is None:
        return mean
    return f"{mean} ({format_interval(summary.interval, measure, is_ct=False, signed=signed)})"


def _notes(groupings: Sequence[Grouping]) -> list[str]:
    notes = []
    if any(grouping.topic == "age" for grouping in groupings):
        notes.append(f"Bands of age, in years: {', '.join(age_bands())}.")
    for grouping in groupings:
        small = [
            f"{value} ({len(people)})"
            for value, people in grouping.groups.items()
            if len(people) < MIN_PEOPLE
        ]
        if small:
            notes.append(
                f"By {grouping.topic}, fewer than {MIN_PEOPLE} people in: {', '.join(small)}. "
                "Such a row describes these people and nobody else."
            )
    return notes


def _rows(board: Scoreboard, grouping: Grouping) -> list[dict[str, Cell]]:
    rows = []
    for value, people in grouping.groups.items():
        for measure in SHOWN_MEASURES:
            scores, difference = _summaries(board, people, measure)
            row: dict[str, Cell] = {
                "topic": grouping.topic,
                "column": grouping.column,
                "group": value,
                "n": len(people),
                "measure": measure,
                "mean": scores.mean,
                **_ends(scores, "low", "high"),
            }
            if difference is not None:
                row |= {
                    "best_baseline": board.best_baseline(measure) or "",
                    "mean_difference": difference.mean,
                    **_ends(difference, "difference_low", "difference_high"),
                }
            rows.append(row)
    return rows


def _ends(summary: Summary | Difference, low: str, high: str) -> dict[str, float]:
    return {} if summary.interval is None else dict(zip((low, high), summary.interval, strict=True))


def _to_json(row: Mapping[str, Cell]) -> dict[str, Cell]:
    return {key: json_number(one) if isinstance(one, float) else one for key, one in row.items()}
