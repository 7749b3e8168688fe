"""Numbers by case, method and part, averaged over people: as CSV, as JSON and in tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.statistics import Summary, mean_by_subject, summarise
from medtranslate.report.sections import Table
from medtranslate.report.tables import Cell, format_csv
from medtranslate.workflows.analyses.gathering import unite
from medtranslate.workflows.scored_case import ScoredCase

Part = tuple[str, ...]
"""What a number belongs to beside case and method, such as ``("bone",)``."""

_ABSENT = "\u2013"
_MINUS = "\u2212"


@dataclass(frozen=True)
class Column:
    """One measured quantity.

    Attributes:
        name: Key in files.
        label: For people, with unit and best value.
        digits: Decimals in tables.
        signed: Whether a plus is written.
    """

    name: str
    label: str
    digits: int
    signed: bool = False

    def format(self, summary: Summary | None) -> str:
        """Mean and standard deviation over people, or a dash."""
        if summary is None:
            return _ABSENT
        if summary.infinite:
            return "\u221e"
        mean = f"{summary.mean:{'+' if self.signed else ''}.{self.digits}f}".replace("-", _MINUS)
        return mean if summary.sd is None else f"{mean} \u00b1 {summary.sd:.{self.digits}f}"

    def span(self, summary: Summary) -> str:
        """Interval of the mean, or a dash."""
        if summary.interval is None:
            return _ABSENT
        sign = "+" if self.signed else ""
        ends = (f"{end:{sign}.{self.digits}f}".replace("-", _MINUS) for end in summary.interval)
        return " to ".join(ends)


class Tally:
    """Collects numbers case by case.

    Args:
        keys: Headings of the part, such as ``("region",)``.
        columns: The quantities; a case need not have all of them.
    """

    def __init__(self, keys: Sequence[str], columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self._keys = tuple(keys)
        self._values: dict[tuple[str, Part], dict[str, dict[str, float]]] = {}
        self._subjects: dict[str, str] = {}

    def add(
        self, case: ScoredCase, method: str, part: Part, values: Mapping[str, float | None]
    ) -> None:
        """Take the numbers of one case; those that are None could not be taken and count nowhere.

        Raises:
            ValueError: If a number belongs to no column.
        """
        if unknown := set(values) - {column.name for column in self.columns}:
            raise ValueError(f"no column for {sorted(unknown)}")
        taken = {name: value for name, value in values.items() if value is not None}
        self._values.setdefault((method, part), {}).setdefault(case.name, {}).update(taken)
        self._subjects[case.name] = case.subject

    @property
    def seen(self) -> dict[str, Any]:
        """What was collected."""
        return {"values": self._values, "subjects": self._subjects}

    def take(self, seen: Mapping[str, Any]) -> None:
        """Add what another tally of the same columns has collected of other cases."""
        self._values = unite(self._values, seen["values"])
        self._subjects = unite(self._subjects, seen["subjects"])

    @property
    def parts(self) -> tuple[Part, ...]:
        """In the order first met."""
        return tuple(dict.fromkeys(part for _, part in self._values))

    def summary(self, board: Scoreboard, method: str, part: Part, name: str) -> Summary | None:
        """A quantity over people; None if no case has it."""
        cases = self._values.get((method, part), {})
        values = {case: found[name] for case, found in cases.items() if name in found}
        if not values:
            return None
        by_subject = mean_by_subject(values, self._subjects)
        return summarise(list(by_subject.values()), settings=board.bootstrap)

    def to_csv(self) -> str:
        """One line for each case, method and part; a missing number is an empty cell."""
        names = [column.name for column in self.columns]
        rows: list[dict[str, Cell]] = [
            {
                "case": case,
                "subject": self._subjects[case],
                "method": method,
                **dict(zip(self._keys, part, strict=True)),
                **values,
            }
            for (method, part), cases in self._values.items()
            for case, values in cases.items()
        ]
        rows.sort(key=lambda row: str(row["case"]))
        return format_csv(("case", "subject", "method", *self._keys, *names), rows)

    def to_json(self, board: Scoreboard) -> list[dict[str, Any]]:
        """Plain data: mean, spread, interval and n of every quantity, by method and part."""
        return [
            {
                "method": method,
                **dict(zip(self._keys, part, strict=True)),
                **{
                    column.name: summary.to_json()
                    for column in self.columns
                    if (summary := self.summary(board, method, part, column.name)) is not None
                },
            }
            for method, part in self._values
        ]

    def tabulate(self, board: Scoreboard, name: str, *, caption: str = "") -> Table | None:
        """One quantity: a row for each part, a column for each method; None if nobody has it."""
        column = next(column for column in self.columns if column.name == name)
        rows = []
        for part in self.parts:
            found = [self.summary(board, method, part, name) for method in board.methods]
            people = max((summary.n for summary in found if summary), default=0)
            if people:
                rows.append((*part, str(people), *map(column.format, found)))
        if not rows:
            return None
        heads = tuple(key.capitalize() for key in self._keys)
        text = f"{column.label}. {caption}".strip()
        return Table((*heads, "People", *board.methods), tuple(rows), text)

    def tabulate_measures(
        self, board: Scoreboard, names: Sequence[str], *, caption: str = ""
    ) -> Table:
        """Several quantities of the model, whole: a row for each that somebody has."""
        level = f"{100 * board.protocol.interval_level:g} % interval"
        rows = []
        for column in self.columns:
            found = self.summary(board, board.model, (), column.name)
            if column.name in names and found is not None:
                rows.append((column.label, column.format(found), column.span(found), str(found.n)))
        return Table(("Measure", board.model, level, "People"), tuple(rows), caption)


def name_cases(left_out: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Sentences on what could not be taken and of which cases; many are counted, few named."""
    return tuple(
        f"{what}: {', '.join(cases)}."
        if len(cases) <= 4
        else f"{what}: {', '.join(cases[:3])} and {len(cases) - 3} more."
        for what, cases in left_out.items()
    )
