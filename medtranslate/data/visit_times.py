"""When each visit was: days since the first one, from the columns of a sessions table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from medtranslate.errors import DatasetError

DAYS_PER_YEAR = 365.25

TIME_COLUMNS: dict[str, float] = {
    "days_since_baseline": 1.0,
    "days": 1.0,
    "months_since_baseline": DAYS_PER_YEAR / 12,
    "months": DAYS_PER_YEAR / 12,
    "years_since_baseline": DAYS_PER_YEAR,
    "years": DAYS_PER_YEAR,
}
"""Columns that count time since the first visit, and the days in their unit; the first one given
counts."""

DATE_COLUMN = "acq_time"


def read_visit_days(rows: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """Days since the first visit by session, counted in the table or worked out from its dates.

    Args:
        rows: Cells of the table by column; an empty cell is a missing value.

    Returns:
        By session without ``ses-``; sessions whose time is not told are left out.

    Raises:
        DatasetError: If a time is no number, or a date cannot be read or compared.

    Example:
        >>> read_visit_days([{"session_id": "ses-a", "months": "0"},
        ...                  {"session_id": "ses-b", "months": "6"}])
        {'a': 0.0, 'b': 182.625}
    """
    sessions = [(row.get("session_id", "").removeprefix("ses-"), row) for row in rows]
    days = {
        session: count
        for session, row in sessions
        if session and (count := _count_days(session, row)) is not None
    }
    return days or _days_from_dates(
        {session: row[DATE_COLUMN] for session, row in sessions if session and row.get(DATE_COLUMN)}
    )


def _count_days(session: str, row: Mapping[str, str]) -> float | None:
    for column, unit in TIME_COLUMNS.items():
        if not row.get(column):
            continue
        try:
            return unit * float(row[column])
        except ValueError:
            raise DatasetError(
                f"ses-{session}: {column} is '{row[column]}', expected a number"
            ) from None
    return None


def _days_from_dates(texts: Mapping[str, str]) -> dict[str, float]:
    """Whole days since the earliest date."""
    dates = {session: _read_date(session, text) for session, text in texts.items()}
    if not dates:
        return {}
    if len({date.tzinfo is None for date in dates.values()}) > 1:
        raise DatasetError(
            f"{DATE_COLUMN}: some dates have a time zone and some have none; write all alike"
        )
    first = min(dates.values())
    return {session: float((date - first).days) for session, date in dates.items()}


def _read_date(session: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise DatasetError(
            f"ses-{session}: {DATE_COLUMN} is '{text}', expected a date such as 2024-05-31"
        ) from None
