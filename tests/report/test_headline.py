"""The headline table."""

from __future__ import annotations

import numpy as np
import pytest

from medtranslate.report.headline import make_measure_table

LEVELS = {"cgan": (22.0, 18.0, 20.0), "map": (17.0, 16.0, 18.0), "copy": (8.0, 21.0, 7.0)}


def test_each_line_has_people_mean_sd_and_interval(make_board):
    board = make_board(LEVELS)

    model = make_measure_table(board, "psnr").rows[0]

    values = list(board.by_subject("cgan", "psnr").values())
    low, high = board.summary("cgan", "psnr").interval
    assert model.n == "3"
    assert model.mean == f"{np.mean(values):.2f}"
    assert model.sd == f"{np.std(values, ddof=1):.2f}"
    assert model.interval == f"{low:.2f} to {high:.2f}"
    assert (model.difference, model.better) == ("", "")


def test_baselines_say_what_the_model_gains_on_them_and_for_whom(make_board):
    _, lookup, copy = make_measure_table(make_board(LEVELS), "psnr").rows

    assert (lookup.difference, lookup.better, lookup.is_best) == ("+3.00", "3 of 3", True)
    assert (copy.difference, copy.better, copy.is_best) == ("+8.00", "2 of 3", False)
    assert copy.difference_interval.startswith("−3.00 to +1")


def test_lower_errors_are_a_negative_difference_that_counts_as_better(make_board):
    table = make_measure_table(make_board(LEVELS), "mae")

    assert table.better == "lower"
    assert table.rows[1].difference.startswith("−0.00")
    assert table.rows[1].better == "3 of 3"


def test_one_person_has_dashes_where_there_is_no_interval(make_board):
    model, copy = make_measure_table(make_board({"a": (20.0,), "b": (10.0,)}), "psnr").rows

    assert (model.sd, model.interval, copy.difference_interval) == ("–", "–", "–")
    assert copy.difference == "+10.00"


def test_the_little_plot_keeps_the_order_of_the_numbers(make_board):
    rows = make_measure_table(make_board(LEVELS), "psnr").rows

    places = [row.whisker for row in rows]
    assert places[0].mean > places[1].mean > places[2].mean
    for one in places:
        assert 0 <= one.low <= one.mean <= one.high <= 120


def test_an_infinite_mean_is_not_drawn(make_board):
    board = make_board({"a": (float("inf"), 20.0), "b": (10.0, 11.0)})

    rows = make_measure_table(board, "psnr").rows

    assert rows[0].mean == "∞"
    assert rows[0].whisker is None
    assert rows[1].whisker is not None


@pytest.mark.parametrize("measure", ["psnr", "ssim", "mae"])
def test_equal_methods_are_drawn_in_the_middle(make_board, measure):
    rows = make_measure_table(make_board({"a": (20.0,), "b": (20.0,)}), measure).rows

    assert {row.whisker.mean for row in rows} == {60.0}
