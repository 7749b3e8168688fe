"""Groups of people by what the participants table says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

NOT_STATED = "not stated"
AGE_EDGES_YEARS = (18, 40, 60, 80)
"""Where a band of ages ends and the next begins; the edge belongs to the upper one."""

_COLUMNS: dict[str, tuple[str, ...]] = {
    "sex": ("sex", "gender"),
    "age": ("age", "age_years", "age_first_visit", "age_at_scan"),
    "site": ("site", "center", "centre", "institution", "hospital"),
    "scanner": ("scanner", "scanner_model", "manufacturer", "field_strength"),
    "pathology": ("pathology", "diagnosis", "disease", "group", "ms_type", "tumor_type", "grade"),
}
_MISSING = {"", "n/a", "na", "nan", "none", "unknown", "-"}


@dataclass(frozen=True)
class Grouping:
    """One way to divide the same people.

    Attributes:
        topic: ``sex``, ``age``, ``site``, ``scanner`` or ``pathology``.
        column: Column of the participants table that it was read from.
        groups: Value, or band of ages, to the people that have it, sorted; those of whom nothing
            is known come last, as ``not stated``.
    """

    topic: str
    column: str
    groups: Mapping[str, tuple[str, ...]]


def find_groupings(participants: Mapping[str, Mapping[str, str]]) -> tuple[Grouping, ...]:
    """Every grouping that the table allows; names and other columns are never looked at.

    Args:
        participants: Person to column to value; a person without a row has an empty one. Columns
            are recognised in any case, and several of one topic (two datasets joined) are read as
            one, the first that a person has.

    Returns:
        In the order sex, age, site, scanner, pathology; a topic of which nothing is known for
        anybody is left out.
    """
    found = (_group(topic, columns, participants) for topic, columns in _COLUMNS.items())
    return tuple(grouping for grouping in found if grouping is not None)


def band_age(text: str) -> str:
    """The band of an age in years.

    Example:
        >>> band_age("39.9"), band_age("40"), band_age("85+"), band_age("n/a")
        ('18 to 39', '40 to 59', '80 and over', 'not stated')
    """
    try:
        age = float(text.strip().removesuffix("+").removesuffix("Y"))
    except ValueError:
        return NOT_STATED
    if not age >= 0:
        return NOT_STATED
    bands = age_bands()
    return bands[sum(age >= edge for edge in AGE_EDGES_YEARS)]


def age_bands() -> tuple[str, ...]:
    """Names of the bands, youngest first, in years."""
    first, last = AGE_EDGES_YEARS[0], AGE_EDGES_YEARS[-1]
    middle = pairwise(AGE_EDGES_YEARS)
    return (f"under {first}", *(f"{a} to {b - 1}" for a, b in middle), f"{last} and over")


def _group(
    topic: str, columns: tuple[str, ...], participants: Mapping[str, Mapping[str, str]]
) -> Grouping | None:
    values: dict[str, str] = {}
    used: dict[str, None] = {}
    for person, row in participants.items():
        column, value = _read(row, columns)
        values[person] = band_age(value) if topic == "age" and value != NOT_STATED else value
        if values[person] != NOT_STATED:
            used[column] = None
    if not used:
        return None
    ordered = sorted(set(values.values()), key=_rank)
    groups = {
        value: tuple(sorted(person for person, own in values.items() if own == value))
        for value in ordered
    }
    return Grouping(topic, " or ".join(used), groups)


def _read(row: Mapping[str, str], columns: tuple[str, ...]) -> tuple[str, str]:
    """Column and value of the first column that says something."""
    lower = {key.lower(): value.strip() for key, value in row.items()}
    for column in columns:
        if lower.get(column, "").lower() not in _MISSING:
            return column, lower[column]
    return "", NOT_STATED


def _rank(value: str) -> tuple[bool, int, str]:
    """Bands by age, other values by name, what is not stated last."""
    bands = age_bands()
    return value == NOT_STATED, bands.index(value) if value in bands else 0, value
