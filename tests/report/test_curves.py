"""Scores over slices."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.report.curves import draw_curves, find_curve
from medtranslate.report.plots import style_of


def test_one_case_keeps_its_slice_numbers(make_board):
    curve = find_curve(make_board({"cgan": (20.0,)}), "cgan", "psnr")

    np.testing.assert_array_equal(curve.position, np.arange(3, 11))
    np.testing.assert_allclose(curve.mean, 20.0 + 0.1 * np.arange(3, 11))


def test_several_cases_are_averaged_from_the_first_scored_slice_to_the_last(make_board):
    curve = find_curve(make_board({"cgan": (20.0, 24.0)}), "cgan", "psnr")

    assert (curve.position[0], curve.position[-1], len(curve.cases)) == (0, 100, 2)
    np.testing.assert_allclose(curve.mean[[0, 50, 100]], 22.0 + 0.1 * np.array([3, 6.5, 10]))


def test_infinite_slices_leave_a_gap(make_board):
    board = make_board({"cgan": (20.0,)})
    row = board.rows[0]
    slices = tuple(
        replace(one, values=one.values | {"psnr": float("inf")}) if one.index == 5 else one
        for one in row.scores.slices
    )
    rows = (replace(row, scores=replace(row.scores, slices=slices)),)

    curve = find_curve(Scoreboard(rows, "cgan", False, board.protocol), "cgan", "psnr")

    assert np.isnan(curve.mean).tolist() == [False, False, True, *[False] * 5]


@pytest.mark.parametrize("measure", ["psnr", "ssim"])
def test_the_svg_is_well_formed_takes_colours_from_the_page_and_fetches_nothing(
    make_board, measure
):
    svg = draw_curves(make_board(), measure)

    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert "var(--model)" in svg
    assert "var(--baseline-2)" in svg
    assert "var(--baseline-3)" not in svg
    assert "#03" not in svg.replace("&#", "")
    assert "DejaVu" not in svg
    assert "<style" not in svg
    assert root.get("aria-label", "").endswith("cgan, lookup map, copy of the source")


def test_the_svg_is_the_same_twice(make_board):
    assert draw_curves(make_board(), "psnr") == draw_curves(make_board(), "psnr")


def test_names_of_methods_cannot_break_out_of_the_svg(make_board):
    svg = draw_curves(make_board({'a"><script>': (20.0, 21.0)}), "psnr")

    ElementTree.fromstring(svg)
    assert "<script" not in svg


def test_a_curve_that_is_infinite_everywhere_is_drawn_without_a_warning(make_board):
    board = make_board({"cgan": (20.0,)})
    row = board.rows[0]
    slices = tuple(
        replace(one, values=one.values | {"psnr": float("inf")}) if one.scored else one
        for one in row.scores.slices
    )
    rows = (replace(row, scores=replace(row.scores, slices=slices)),)

    svg = draw_curves(Scoreboard(rows, "cgan", False, board.protocol), "psnr")

    assert svg.startswith("<svg")


def test_methods_have_colours_and_dashes_of_their_own():
    styles = [style_of(number) for number in range(4)]

    assert styles[0] == ("var(--model)", "")
    assert len({colour for colour, _ in styles}) == 4
    assert len({dash for _, dash in styles}) == 4
