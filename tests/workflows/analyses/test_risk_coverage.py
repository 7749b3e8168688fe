"""Error of what is left, by voxels, slices and people, in the order of a known deviation."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import MEASURES, CaseScores
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import IntensityScale, Volume
from medtranslate.workflows.analyses.risk_coverage import SET_ASIDE, RiskCoverage
from medtranslate.workflows.scored_case import ScoredCase

PROTOCOL = Protocol(scale="sidecar")
SHAPE = (12, 20, 10)
SCALE = IntensityScale(0.0, 500.0)
UNKNOWN, ORACLE, RANDOM = "predicted deviation", "oracle", "random"


@pytest.fixture
def make_case(make_affine):
    """Function that builds a case; slices lie along the file's second axis."""

    def make(name, *, size=1.0, doubt="error", slices=slice(2, 18)):
        rng = np.random.default_rng(len(name) + int(100 * size))
        geometry = Geometry(SHAPE, make_affine("LSA", spacing=(1.2, 3.0, 0.9)))
        mask = np.zeros(SHAPE, bool)
        mask[1:11, slices, 1:9] = True
        error = size * rng.normal(0, 0.1, SHAPE) * (1 + np.arange(20)[None, :, None])
        reference = Volume(np.full((1, *SHAPE), 800, np.float32), geometry, "T2w")
        prediction = Volume((500 * (1 + error)).astype(np.float32)[None], geometry, "T2w")
        sd = {
            "error": np.abs(error),
            "noise": rng.uniform(size=SHAPE),
            "same": np.ones(SHAPE),
            "slice": np.broadcast_to(np.arange(20.0)[None, :, None], SHAPE),
        }[doubt]
        predictions = {"model": (prediction, SCALE), "perfect": (reference, SCALE)}
        return ScoredCase(name, name[0], reference, predictions, mask, sd=sd.astype(np.float32))

    return make


def analyse(*cases):
    analysis = RiskCoverage()
    rows, errors = [], {}
    for case in cases:
        yardstick = make_yardstick(case.reference, case.mask, PROTOCOL)
        brought = {m: yardstick.bring(v.voxels, scale=s) for m, (v, s) in case.predictions.items()}
        analysis.add(case, yardstick, brought)
        scores = CaseScores((), dict.fromkeys(MEASURES, 20.0))
        rows += [ScoredPrediction(case.name, case.subject, m, scores) for m in brought]
        errors[case.name] = case.predictions["model"][0].voxels.astype(float) / 500 - 1
    return analysis.finish(Scoreboard(tuple(rows), "model", False, PROTOCOL)), errors


def curve(findings, case, units, order, what="mae"):
    rows = csv.DictReader(io.StringIO(findings.files["risk_coverage.csv"]))
    chosen = [r for r in rows if (r["case"], r["units"], r["order"]) == (case, units, order)]
    assert [float(row["set_aside"]) for row in chosen] == list(SET_ASIDE)
    return [float(row[what]) for row in chosen]


@pytest.mark.parametrize("what", ["mae", "rmse"])
def test_a_deviation_that_ranks_voxels_perfectly_is_the_oracle(make_case, what):
    findings, _ = analyse(make_case("a1"))

    np.testing.assert_allclose(
        curve(findings, "a1", "voxels", UNKNOWN, what),
        curve(findings, "a1", "voxels", ORACLE, what),
        rtol=1e-4,
    )


@pytest.mark.parametrize("doubt", ["noise", "same"])
def test_a_deviation_that_knows_nothing_is_the_random_order(make_case, doubt):
    findings, errors = analyse(make_case("a1", doubt=doubt))

    inside = errors["a1"][1:11, 2:18, 1:9]
    found = curve(findings, "a1", "voxels", UNKNOWN, "rmse")
    np.testing.assert_allclose(found, np.sqrt(np.mean(inside**2)), rtol=0.15)
    np.testing.assert_allclose(
        curve(findings, "a1", "voxels", RANDOM, "rmse"), np.sqrt(np.mean(inside**2)), rtol=1e-5
    )


def test_slices_go_by_their_mean_deviation_along_the_right_axis(make_case):
    """Errors and deviation grow along the second voxel axis: the last slices go first."""
    findings, errors = analyse(make_case("a1", doubt="slice"))

    by_slice = np.abs(errors["a1"])[1:11, 2:18, 1:9].mean(axis=(0, 2))
    squared = (errors["a1"] ** 2)[1:11, 2:18, 1:9].mean(axis=(0, 2))
    kept = [16 - int(16 * share + 1e-9) for share in SET_ASIDE]
    np.testing.assert_allclose(
        curve(findings, "a1", "slices", UNKNOWN), [by_slice[:n].mean() for n in kept], rtol=1e-4
    )
    np.testing.assert_allclose(
        curve(findings, "a1", "slices", UNKNOWN, "rmse"),
        [np.sqrt(squared[:n].mean()) for n in kept],
        rtol=1e-4,
    )


def test_people_go_by_their_mean_deviation_and_count_once(make_case):
    """Person b has two scans; the doubtful person c goes first and leaves the other two."""
    cases = [make_case(name, size=size) for name, size in
             (("a1", 0.5), ("b1", 1.0), ("b22", 2.0), ("c1", 9.0))]  # fmt: skip

    findings, errors = analyse(*cases)

    mae = {name: np.abs(error)[1:11, 2:18, 1:9].mean() for name, error in errors.items()}
    people = [mae["a1"], (mae["b1"] + mae["b22"]) / 2, mae["c1"]]
    kept = [3 - int(3 * share + 1e-9) for share in SET_ASIDE]
    np.testing.assert_allclose(
        curve(findings, "", "people", UNKNOWN), [np.mean(people[:n]) for n in kept], rtol=1e-4
    )


def test_of_one_person_nobody_can_be_set_aside(make_case):
    findings, _ = analyse(make_case("a1"), make_case("a22"))

    assert [table.caption.split()[0] for table in findings.section.tables] == ["Voxels", "Slices"]
    assert {one["units"] for one in findings.summary["curves"]} == {"voxels", "slices"}


def test_the_report_shows_the_mean_over_people_of_every_order(make_case):
    findings, _ = analyse(make_case("a1"), make_case("a22", size=2.0), make_case("b1"))

    by_case = {one: curve(findings, one, "voxels", UNKNOWN) for one in ("a1", "a22", "b1")}
    expected = np.mean([np.mean([by_case["a1"], by_case["a22"]], axis=0), by_case["b1"]], axis=0)
    table = findings.section.tables[0]
    assert table.rows[0] == (
        f"MAE, {UNKNOWN}",
        *(f"{expected[SET_ASIDE.index(share)]:.4f}" for share in (0.0, 0.1, 0.2, 0.5)),
    )
    assert len(findings.section.figures) == len(findings.section.tables) == 3
    assert all(order in findings.section.figures[0].svg for order in (UNKNOWN, ORACLE, RANDOM))


def test_without_deviations_there_is_no_section(make_case):
    case = make_case("a1")
    bare = ScoredCase(case.name, case.subject, case.reference, case.predictions, case.mask)

    assert analyse(bare)[0] is None
