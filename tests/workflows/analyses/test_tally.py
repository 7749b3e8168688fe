"""Numbers of cases become means over people."""

from __future__ import annotations

import csv
import io
from types import SimpleNamespace

import pytest

from medtranslate.metrics.statistics import Bootstrap
from medtranslate.workflows.analyses.tally import Column, Tally, name_cases

COLUMNS = (
    Column("mae", "MAE (HU)", 1),
    Column("me", "ME (HU)", 1, signed=True),
    Column("psnr", "PSNR (dB)", 2),
)
BOARD = SimpleNamespace(methods=("model", "lookup map"), bootstrap=Bootstrap(num_resamples=200))


def case(name, subject):
    return SimpleNamespace(name=name, subject=subject)


@pytest.fixture
def tally():
    """Two people, one with two visits; one region lacks a person."""
    tally = Tally(("region",), COLUMNS)
    for name, subject, mae in (("a1", "a", 10.0), ("a2", "a", 20.0), ("b", "b", 45.0)):
        tally.add(case(name, subject), "model", ("bone",), {"mae": mae, "me": -mae})
        tally.add(case(name, subject), "lookup map", ("bone",), {"mae": 50.0, "me": 50.0})
    tally.add(case("b", "b"), "model", ("lesion",), {"mae": 5.0, "psnr": float("inf"), "me": None})
    return tally


def test_a_person_with_two_visits_counts_once(tally):
    summary = tally.summary(BOARD, "model", ("bone",), "mae")

    assert summary.n == 2
    assert summary.mean == pytest.approx((15 + 45) / 2)


def test_a_table_has_a_row_for_each_part_and_a_column_for_each_method(tally):
    table = tally.tabulate(BOARD, "mae")

    assert table.columns == ("Region", "People", "model", "lookup map")
    assert table.rows == (
        ("bone", "2", "30.0 ± 21.2", "50.0 ± 0.0"),
        ("lesion", "1", "5.0", "–"),
    )
    assert table.caption == "MAE (HU)."


def test_signs_are_written_out(tally):
    assert tally.tabulate(BOARD, "me").rows == (("bone", "2", "−30.0 ± 21.2", "+50.0 ± 0.0"),)


def test_an_infinite_mean_is_written_as_such(tally):
    assert tally.tabulate(BOARD, "psnr").rows == (("lesion", "1", "∞", "–"),)


def test_a_quantity_nobody_has_makes_no_table():
    assert Tally((), COLUMNS).tabulate(BOARD, "mae") is None


def test_the_file_holds_every_case_and_leaves_missing_numbers_empty(tally):
    rows = list(csv.DictReader(io.StringIO(tally.to_csv())))

    assert len(rows) == 7
    assert rows[0] == {
        "case": "a1",
        "subject": "a",
        "method": "model",
        "region": "bone",
        "mae": "10.0",
        "me": "-10.0",
        "psnr": "",
    }
    (lesion,) = (row for row in rows if row["region"] == "lesion")
    assert (lesion["case"], lesion["me"], lesion["psnr"]) == ("b", "", "inf")


def test_plain_data_leave_out_what_nobody_has(tally):
    bone, _, lesion = tally.to_json(BOARD)

    assert (bone["method"], bone["region"], bone["mae"]["n"]) == ("model", "bone", 2)
    assert "psnr" not in bone
    assert lesion["psnr"]["mean"] == "inf"


def test_a_number_without_a_column_is_refused(tally):
    with pytest.raises(ValueError, match="no column for .*'dice'"):
        tally.add(case("b", "b"), "model", ("bone",), {"dice": 1.0})


def test_few_cases_are_named_and_many_counted():
    found = name_cases({"one is empty": ["a", "b"], "other is empty": list("abcdef")})

    assert found == ("one is empty: a, b.", "other is empty: a, b, c and 3 more.")
