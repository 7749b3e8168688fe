"""Findings in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.report.wording import (
    cautions,
    format_interval,
    format_value,
    headline,
    is_better,
    unit_of,
)

INFINITE = float("inf")


def with_identical(board, *, slices):
    """The board with the model's first ``slices`` scored slices of its first case infinite."""
    row = board.rows[0]
    scored = [one.index for one in row.scores.slices if one.scored][:slices]
    changed = tuple(
        replace(one, values=one.values | {"psnr": INFINITE}) if one.index in scored else one
        for one in row.scores.slices
    )
    values = row.scores.values | {"psnr": INFINITE}
    first = replace(row, scores=replace(row.scores, slices=changed, values=values))
    return Scoreboard((first, *board.rows[1:]), board.model, board.is_ct, board.protocol)


def test_the_headline_names_people_scores_and_the_best_baseline(make_board):
    text = headline(make_board(), held_out=True)

    assert text == (
        "On 4 people the model never saw, cgan reaches 21.7 dB PSNR and 0.541 SSIM: "
        "3.4 dB and 0.084 above the best baseline, lookup map, and better for each of the 4."
    )


def test_unseen_is_said_only_of_people_known_to_be_held_out(make_board):
    assert "never saw" not in headline(make_board(), held_out=False)


def test_a_model_below_its_baseline_is_said_to_be_below(make_board):
    board = make_board({"cgan": (15.0, 19.0, 14.0), "copy": (18.0, 18.5, 17.0)})

    text = headline(board, held_out=True)

    assert "in PSNR 1.8 dB below the best baseline (copy), better for 1 of 3" in text
    assert "an interval that includes 0" in text


def test_a_model_equal_to_its_baseline_is_said_to_be_equal(make_board):
    board = make_board({"cgan": (15.0, 19.0), "copy": (15.0, 19.0)})

    assert "equal to the best baseline (copy)" in headline(board, held_out=False)


def test_without_baselines_the_headline_says_that_nothing_was_compared(make_board):
    text = headline(make_board({"cgan": (20.0, 21.0)}), held_out=True)

    assert "No baseline was scored" in text


def test_one_person_has_no_interval_and_the_words_say_so(make_board):
    board = make_board({"cgan": (20.0,), "copy": (10.0,)})

    (text,) = cautions(board)

    assert "One person only: there is no interval" in text
    assert headline(board, held_out=True).startswith("On 1 person the model never saw")


def test_few_people_are_cautioned_about_and_many_are_not(make_board):
    few, many = (make_board({"cgan": tuple(20.0 + n for n in range(k))}) for k in (5, 6))

    assert "5 people only" in cautions(few)[0]
    assert cautions(many) == []


def test_a_mean_over_identical_slices_says_how_many_and_what_the_rest_is(make_board):
    board = with_identical(make_board({"cgan": tuple(20.0 + n for n in range(6))}), slices=3)

    (text,) = cautions(board)

    assert "cgan: 3 of 48 scored slices equal the reference exactly" in text
    assert "infinite, and so is every mean that holds one" in text
    finite = [
        one.values["psnr"]
        for row in board.rows
        for one in row.scores.slices
        if one.scored and one.values["psnr"] != INFINITE
    ]
    assert f"The other 45 slices average {sum(finite) / 45:.2f} dB" in text
    assert "an infinite dB PSNR" in headline(board, held_out=False)


@pytest.mark.parametrize(
    ("value", "measure", "is_ct", "text"),
    [
        (21.0388, "psnr", False, "21.04"),
        (-0.1443, "ssim", False, "−0.144"),
        (0.057, "mae", False, "0.0570"),
        (57.04, "mae", True, "57.0"),
        (3.21, "me_volume", True, "+3.2"),
        (-3.21, "me_volume", True, "−3.2"),
        (INFINITE, "psnr", False, "∞"),
        (-INFINITE, "psnr", False, "−∞"),
        (None, "psnr", False, "–"),
        (float("nan"), "psnr", False, "–"),
    ],
)
def test_values_have_the_decimals_they_deserve(value, measure, is_ct, text):
    assert format_value(value, measure, is_ct=is_ct) == text


def test_intervals_have_two_ends_or_a_dash():
    assert format_interval((-1.0, 2.0), "psnr", is_ct=False, signed=True) == "−1.00 to +2.00"
    assert format_interval(None, "psnr", is_ct=False) == "–"


def test_units_follow_the_kind_of_scan():
    assert [unit_of(name, is_ct=True) for name in ("psnr", "ssim", "mae")] == ["dB", "", "HU"]
    assert unit_of("me_volume", is_ct=False) == "scaled intensity"


def test_better_means_lower_where_lower_is_better(make_board):
    board = make_board({"cgan": (20.0, 21.0), "copy": (10.0, 11.0)})

    assert is_better(board, "copy", "psnr")
    assert is_better(board, "copy", "mae")
