"""Tests of differences in words."""

from __future__ import annotations

import pytest

from medtranslate.metrics.paired_tests import PairedTest
from medtranslate.report.paired import (
    PAIRED_COLUMNS,
    Comparison,
    format_p,
    make_paired_tables,
    paired_rows,
)

FULL = PairedTest(9, -12.345, (-20.0, -5.0), (-21.0, -4.0), 0.0078, 0.00391, 0.0117, -1.234)
EMPTY = PairedTest(1, 2.0, None, None, None, None, None, None)


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.5, "0.5"), (0.0625, "0.062"), (0.00012, "0.00012"), (0.00009, "< 0.0001"), (1.0, "1")],
)
def test_a_p_has_two_digits_and_is_never_0(p, text):
    assert format_p(p) == text


def test_a_row_says_everything_with_signs():
    (table,) = make_paired_tables({Comparison("a", "b", "mae"): FULL}, is_ct=True, level=0.95)

    assert table.rows == (
        (
            "MAE, HU (lower is better)",
            "9",
            "\u221212.3",
            "\u221220.0 to \u22125.0",
            "\u221221.0 to \u22124.0",
            "0.0078",
            "0.0039",
            "0.012",
            "\u22121.23",
        ),
    )
    assert table.caption == "a minus b"
    assert table.columns[3:5] == ("95 % percentile", "95 % BCa")


def test_what_could_not_be_computed_is_a_dash_and_an_empty_cell():
    tests = {Comparison("a", "b", "psnr"): EMPTY}
    (table,) = make_paired_tables(tests, is_ct=False, level=0.9)
    (row,) = paired_rows(tests, is_ct=False, level=0.9)

    assert table.rows[0][2:] == ("+2.00", *["\u2013"] * 6)
    assert set(PAIRED_COLUMNS) - set(row) == {
        "percentile_low", "percentile_high", "bca_low", "bca_high", "wilcoxon_p", "sign_flip_p",
        "holm_p", "effect_size",
    }  # fmt: skip


def test_a_row_of_the_file_has_every_column():
    (row,) = paired_rows({Comparison("a", "b", "mae"): FULL}, is_ct=True, level=0.95)

    assert tuple(row) == PAIRED_COLUMNS
    assert (row["bca_low"], row["bca_high"], row["unit"]) == (-21.0, -4.0, "HU")
    assert (row["percentile_low"], row["percentile_high"]) == (-20.0, -5.0)
