from __future__ import annotations

import numpy as np
import pytest

from medtranslate.data.visit_times import read_visit_days
from medtranslate.errors import DatasetError


def rows(column: str, *values: str) -> list[dict[str, str]]:
    return [{"session_id": f"ses-{n}", column: value} for n, value in enumerate(values, start=1)]


@pytest.mark.parametrize(
    ("column", "values", "days"),
    [
        ("days_since_baseline", ("0", "90.5"), (0.0, 90.5)),
        ("days", ("0", "30"), (0.0, 30.0)),
        ("months", ("0", "24"), (0.0, 730.5)),
        ("months_since_baseline", ("0", "6"), (0.0, 182.625)),
        ("years", ("0", "1.5"), (0.0, 547.875)),
        ("years_since_baseline", ("0", "2"), (0.0, 730.5)),
        ("acq_time", ("2020-02-28", "2020-03-01"), (0.0, 2.0)),
        ("acq_time", ("2021-03-01T08:00:00+02:00", "2021-02-28T06:00:00+00:00"), (1.0, 0.0)),
    ],
)
def test_every_unit_becomes_days(
    column: str, values: tuple[str, ...], days: tuple[float, ...]
) -> None:
    found = read_visit_days(rows(column, *values))

    assert list(found) == ["1", "2"]
    np.testing.assert_allclose(list(found.values()), days)


def test_a_session_without_a_time_is_left_out() -> None:
    table = [*rows("months", "0", ""), {"session_id": "", "months": "7"}]

    assert read_visit_days(table) == {"1": 0.0}
    assert read_visit_days(rows("acq_time", "", "")) == {}


def test_counted_time_comes_before_dates() -> None:
    table = [{"session_id": "ses-1", "days": "5", "acq_time": "2020-01-01"}]

    assert read_visit_days(table) == {"1": 5.0}


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("months", ("0", "six"), "ses-2: months is 'six', expected a number"),
        ("acq_time", ("2020-01-01", "spring"), "ses-2: acq_time is 'spring', expected a date"),
        ("acq_time", ("2020-01-01", "2021-01-01T00:00:00+00:00"), "some dates have a time zone"),
    ],
)
def test_a_time_that_cannot_be_read_is_named(
    column: str, values: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        read_visit_days(rows(column, *values))
