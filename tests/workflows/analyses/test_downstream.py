"""What a segmenter finds in real and synthetic scans, from cases to tables."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import score_against
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import Volume
from medtranslate.workflows.analyses.downstream import (
    DownstreamAnalysis,
    DownstreamTask,
    SegmentedCase,
)
from medtranslate.workflows.scored_case import ScoredCase

PROTOCOL = Protocol(interval_resamples=100)
SPACING = (1.0, 2.0, 4.0)
SHAPE = (12, 11, 10)


def boxes(*starts):
    """Label n is a box of 4 x 3 x 2 voxels that starts at the n-th index, or absent if None."""
    labels = np.zeros(SHAPE, np.int16)
    for number, start in enumerate(starts, start=1):
        if start is not None:
            labels[tuple(slice(s, s + n) for s, n in zip(start, (4, 3, 2), strict=True))] = number
    return labels


REAL = boxes((1, 1, 1), (6, 6, 6))
SEGMENTED = {
    # "a" moved by a voxel along i; "b" not found by the model, and by a voxel along k by the map.
    "a_1": SegmentedCase(
        REAL,
        {"model": boxes((2, 1, 1), None), "lookup map": boxes((1, 1, 1), (6, 6, 7))},
        boxes((1, 2, 1), (6, 6, 6)),
        SPACING,
    ),
    "a_2": SegmentedCase(REAL, {"model": REAL, "lookup map": REAL}, None, SPACING),
    "b_1": SegmentedCase(REAL, {"model": REAL, "lookup map": REAL}, None, SPACING),
}


@pytest.fixture
def examine(make_affine):
    """Function that evaluates the cases with a segmenter that learned from some people."""

    def run(people=("w", "x", "y", "z")):
        task = DownstreamTask(
            ("first", "second"), "ORIGIN", "RECIPE", people, SEGMENTED.__getitem__
        )
        analysis = DownstreamAnalysis(task)
        array = np.random.default_rng(0).uniform(1, 2, (1, 5, 6, 7)).astype(np.float32)
        scan = Volume(array, Geometry((5, 6, 7), make_affine("RAS")), "T2w")
        predictions = dict.fromkeys(("model", "rank map", "lookup map"), (scan, None))
        rows = []
        for name in SEGMENTED:
            case = ScoredCase(name, name[0], scan, predictions, np.ones((5, 6, 7), bool))
            yardstick = make_yardstick(scan, case.mask, PROTOCOL)
            brought = {m: yardstick.bring(v.voxels, scale=s) for m, (v, s) in predictions.items()}
            analysis.add(case, yardstick, brought)
            rows += [
                ScoredPrediction(name, case.subject, m, score_against(yardstick, p))
                for m, p in brought.items()
            ]
        return analysis.finish(Scoreboard(tuple(rows), "model", False, PROTOCOL))

    return run


@pytest.fixture
def findings(examine):
    return examine()


def rows_of(findings, **wanted):
    rows = csv.DictReader(io.StringIO(findings.files["downstream.csv"]))
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_each_case_method_and_label_is_written(findings):
    """Known by hand: a shift by one of four voxels, 1 mm; by one of two, 4 mm."""
    moved = rows_of(findings, case="a_1", method="model", label="first")
    (real,) = [row for row in moved if row["compared with"] == "segmentation of the real scan"]
    np.testing.assert_allclose(
        [float(real[key]) for key in ("dice", "hd95_mm", "reference_ml")], [0.75, 1.0, 0.192]
    )
    (lifted,) = rows_of(
        findings,
        case="a_1",
        method="lookup map",
        label="second",
        **{"compared with": "segmentation of the real scan"},
    )
    np.testing.assert_allclose([float(lifted[key]) for key in ("dice", "hd95_mm")], [0.5, 4.0])


def test_given_labels_are_compared_with_the_real_scan_too(findings):
    """The real scan's box lies one of three voxels, 2 mm, from the given one."""
    rows = rows_of(findings, **{"compared with": "given labels"})

    assert {row["case"] for row in rows} == {"a_1"}
    assert {row["method"] for row in rows} == {"real scan", "model", "lookup map"}
    (real,) = [row for row in rows if (row["method"], row["label"]) == ("real scan", "first")]
    np.testing.assert_allclose(float(real["dice"]), 2 / 3)
    np.testing.assert_allclose(float(real["hd95_mm"]), 2.0)


def test_a_lost_label_is_dice_0_without_a_distance_and_named(findings):
    (lost,) = rows_of(
        findings,
        case="a_1",
        method="model",
        label="second",
        **{"compared with": "segmentation of the real scan"},
    )

    assert float(lost["dice"]) == 0
    assert lost["hd95_mm"] == ""
    assert float(lost["volume_difference_percent"]) == -100
    assert any(
        "second, model against segmentation of the real scan: only the reference has it: a_1" in n
        for n in findings.section.notes
    )


def test_tables_average_over_people_their_cases_first(findings):
    """Person a: 0.75 and 1 make 0.875; with person b 0.938, not the 0.917 of three cases."""
    table = findings.section.tables[0]

    assert table.columns == ("Label", "People", "model", "lookup map")
    assert "Dice" in table.caption
    assert table.rows[0] == ("first", "2", "0.938 ± 0.088", "1.000 ± 0.000")
    assert table.rows[1] == ("second", "2", "0.750 ± 0.354", "0.875 ± 0.177")
    given = next(t for t in findings.section.tables if "given labels" in t.caption)
    assert given.columns == ("Label", "People", "real scan", "model", "lookup map")
    assert given.rows[0][:3] == ("first", "1", "0.667")


def test_the_report_says_what_the_segmenter_is(findings):
    lead = findings.section.lead

    assert (
        "those of the 4 people that model was trained on, never a synthetic one and nobody scored"
        in lead
    )
    assert "Labels: ORIGIN. Training: RECIPE." in lead
    assert findings.summary["segmenter"]["recipe"] == "RECIPE"
    assert findings.summary["segmenter"]["people"] == 4


def test_means_and_intervals_stand_in_the_summary(findings):
    entry = next(
        one
        for one in findings.summary["by_label"]
        if (one["method"], one["label"]) == ("model", "first")
        and one["compared with"] == "segmentation of the real scan"
    )

    np.testing.assert_allclose(entry["dice"]["mean"], (0.875 + 1) / 2)
    assert entry["dice"]["n"] == 2


def test_people_it_learned_from_are_named_where_they_are_scored_too(findings, examine):
    seen = examine(people=("a", "z")).section

    assert "never a synthetic one. Labels" in seen.lead
    assert "people who are scored here too: a. It knows their real scans" in seen.notes[0]
    assert not any("scored here too" in note for note in findings.section.notes)
