"""What the tables of datasets say of a person at a visit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from medtranslate.data.scans import DatasetIndex
from medtranslate.data.visit_times import DATE_COLUMN, TIME_COLUMNS
from medtranslate.errors import ConfigError

Covariate = float | str | None
"""A number, a category, or None where it is missing."""


def read_covariates(
    indexes: Sequence[DatasetIndex], columns: Sequence[str], *, where: str
) -> Callable[[str, str], dict[str, Covariate]]:
    """A function that gives what is known of a subject at a session; each column is of one kind.

    Args:
        indexes: The datasets with their participants and sessions tables; what a table of sessions
            says goes before what that of participants says.
        columns: Which columns; each is all numbers or all text.
        where: What errors begin with.

    Raises:
        ConfigError: If a column is in no table.
    """
    known = _known_columns(indexes)
    unknown = [column for column in columns if column not in known]
    if unknown:
        raise ConfigError(
            f"{where}: no participants or sessions table has a column "
            f"{', '.join(repr(column) for column in unknown)}; there are "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    people = {key: row for index in indexes for key, row in index.participants.items()}
    sessions = {key: row for index in indexes for key, row in index.sessions.items()}
    numeric = {
        column
        for column in columns
        if all(_is_number(row.get(column, "0")) for row in (*people.values(), *sessions.values()))
    }

    def look_up(subject: str, session: str) -> dict[str, Covariate]:
        row = {**people.get(subject, {}), **sessions.get((subject, session), {})}
        return {
            column: float(row[column]) if column in numeric and column in row else row.get(column)
            for column in columns
        }

    return look_up


def _known_columns(indexes: Sequence[DatasetIndex]) -> set[str]:
    tables = [row for i in indexes for row in (*i.participants.values(), *i.sessions.values())]
    return {column for row in tables for column in row} - {*TIME_COLUMNS, DATE_COLUMN}


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
