"""The misregistration curve: of the model, of the real scan, over people."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.metrics.alignment import DISPLACEMENTS, score_displaced
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import score_against
from medtranslate.metrics.statistics import summarise
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import Volume
from medtranslate.workflows.analyses.alignment import (
    MODEL,
    REAL,
    AlignmentAnalysis,
    describe_equivalent,
    sliced_spacing,
)
from medtranslate.workflows.scored_case import ScoredCase

# Slices are the file's first axis, 3 mm apart.
AFFINE = np.array([[0, 1.0, 0, 0], [0, 0, 1.5, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])
GEOMETRY = Geometry((3, 12, 14), AFFINE)


@pytest.fixture(scope="module")
def found():
    """One case whose prediction is 20 % too dark."""
    voxels = np.random.default_rng(0).uniform(100, 500, GEOMETRY.shape).astype(np.float32)
    reference = Volume(voxels[None], GEOMETRY)
    mask = np.ones(GEOMETRY.shape, bool)
    yardstick = make_yardstick(reference, mask, Protocol())
    prediction = 0.8 * yardstick.reference
    analysis = AlignmentAnalysis()
    case = ScoredCase("c", "s", reference, {"m": (reference, None)}, mask=mask)
    analysis.add(case, yardstick, {"m": prediction, "baseline": yardstick.reference})
    rows = (ScoredPrediction("c", "s", "m", score_against(yardstick, prediction)),)
    board = Scoreboard(rows, "m", False, Protocol())
    return analysis.finish(board), yardstick, prediction, board


def test_the_curve_moves_by_millimetres_of_the_right_axes(found):
    findings, yardstick, prediction, _ = found

    expected = score_displaced(yardstick, prediction, spacing=(3.0, 1.0, 1.5))

    for displacement in DISPLACEMENTS:
        summary = findings.summary["model"][displacement.words]["psnr"]
        np.testing.assert_allclose(summary["mean"], expected[displacement]["psnr"])


def test_the_real_scan_stands_beside_the_model(found):
    findings, _, _, board = found

    first = findings.section.tables[0].rows[0]

    psnr = board.rows[0].scores.values["psnr"]
    assert first[:2] == ("0 mm", f"{psnr:.2f}")
    assert first[3:] == ("∞", "1.000")
    assert [figure.svg.count("<svg") for figure in findings.section.figures] == [1, 1]


@pytest.mark.parametrize(
    ("psnr", "words"),
    [
        (30.0, "stands above a perfect image 0.5 mm off"),
        (23.0, "stands between a perfect image 0.5 mm off and one 1 mm off"),
        (20.0, "stands between a perfect image 1 mm off and one 2 mm off"),
        (15.0, "stands below a perfect image 2 mm off"),
    ],
)
def test_the_lead_says_how_far_off_a_perfect_image_would_score_as_the_model(psnr, words):
    perfect = dict(zip(DISPLACEMENTS, (float("inf"), 25.0, 20.0, 16.0, 24.0, 18.0), strict=True))
    points = {(REAL, one, "psnr"): summarise([value]) for one, value in perfect.items()}
    points[MODEL, DISPLACEMENTS[0], "psnr"] = summarise([psnr])

    assert words in describe_equivalent(points)


def test_the_file_holds_both_curves(found):
    findings, *_ = found

    rows = list(csv.DictReader(findings.files["alignment.csv"].splitlines()))

    assert len(rows) == 2 * len(DISPLACEMENTS) * 2
    assert {row["image"] for row in rows} == {"model", "real scan"}
    assert {(row["displacement"], row["unit"]) for row in rows} == {
        ("shift", "mm"),
        ("rotation", "degrees"),
    }


@pytest.mark.parametrize(
    ("axis", "expected"), [(0, (3, 1, 1.5)), (1, (1, 3, 1.5)), (2, (1.5, 3, 1))]
)
def test_spacing_follows_the_axis_that_was_moved_to_the_front(axis, expected):
    assert sliced_spacing(GEOMETRY, axis) == expected
