"""Times as people write them: 6m, 1y, 90d."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from medtranslate.data.visit_times import DAYS_PER_YEAR
from medtranslate.errors import ConfigError

_PARTS = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,9})?)(?P<unit>[dwmy])")
_LONGEST_YEARS = 150
_YEARS = {"d": 1 / DAYS_PER_YEAR, "w": 7 / DAYS_PER_YEAR, "m": 1 / 12, "y": 1.0}


@dataclass(frozen=True)
class Duration:
    """A time span, as it was written and in years."""

    text: str
    years: float


def parse_durations(text: str, *, where: str | None = None) -> tuple[Duration, ...]:
    """Read ``6m,1y,2y``: days d, weeks w, months m (a twelfth of a year), years y.

    Args:
        text: The times.
        where: What errors begin with; ``--at`` and the text if None.

    Returns:
        Sorted by time.

    Raises:
        ConfigError: If a part has another form, is longer than 150 years, or is given twice.

    Example:
        >>> tuple(span.years for span in parse_durations("1y,6m,0d"))
        (0.0, 0.5, 1.0)
    """
    where = f"--at {text}" if where is None else where
    found: dict[float, Duration] = {}
    for part in text.split(","):
        match = _PARTS.fullmatch(part.strip())
        if match is None:
            raise ConfigError(
                f"{where}: '{part.strip()}' is not a time; write a number and d, w, m or y, "
                "as in 90d,6m,1.5y"
            )
        years = float(match["number"]) * _YEARS[match["unit"]]
        if years > _LONGEST_YEARS:
            raise ConfigError(f"{where}: '{part.strip()[:20]}' is longer than anybody lives")
        if years in found:
            raise ConfigError(f"{where}: {part.strip()} is given twice; give each time once")
        found[years] = Duration(part.strip(), years)
    return tuple(found[years] for years in sorted(found))


def parse_assignments(texts: Sequence[str]) -> dict[str, str | None]:
    """Read ``age=63``; ``n/a`` or nothing after the sign is a missing value.

    Raises:
        ConfigError: If a text has no ``=``, or a name is given twice.
    """
    values: dict[str, str | None] = {}
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not sign or not name:
            raise ConfigError(f"--covariate {text}: expected name=value, as in age=63")
        if name in values:
            raise ConfigError(f"--covariate {name} is given twice; give it once")
        values[name] = None if value in ("", "n/a") else value
    return values
