"""How far two steps are from one, in the table."""

import csv

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import score_against
from medtranslate.metrics.trajectories import CompositionError
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import Volume
from medtranslate.workflows.analyses.consistency import ConsistencyAnalysis
from medtranslate.workflows.scored_case import Consistency, Followed, ScoredCase

PROTOCOL = Protocol(scale="none", data_range=1.0, interval_resamples=100)


def test_differences_of_volume_are_shares_of_the_one_step(make_affine):
    shape = (12, 10, 9)
    geometry = Geometry(shape, make_affine("LSA", spacing=(1.0, 2.0, 3.0)))
    region = np.zeros(shape, bool)
    region[3:8, 2:6, 2:7] = True
    scan = Volume((0.2 + 0.5 * region).astype(np.float32)[None], geometry)
    found = Consistency(CompositionError(0.1, 0.2), CompositionError(0.3, 0.4), 0.9, -0.06, 1)
    case = ScoredCase(
        "p_1", "p", scan, {"model": (scan, None)}, mask=np.ones(shape, bool),
        followed=Followed(1.0, region, region, {"model": region * 1.0}, 0.0, found),
    )  # fmt: skip
    yardstick = make_yardstick(case.reference, case.mask, PROTOCOL)
    brought = {"model": yardstick.bring(scan.voxels, scale=None)}
    analysis = ConsistencyAnalysis()
    analysis.add(case, yardstick, brought)
    scores = score_against(yardstick, brought["model"])
    board = Scoreboard((ScoredPrediction("p_1", "p", "model", scores),), "model", False, PROTOCOL)

    findings = analysis.finish(board)

    (row,) = csv.DictReader(findings.files["consistency.csv"].splitlines())
    assert float(row["again_percent"]) == pytest.approx(-100 * 0.06 / (100 * 0.006))
    names = ("field_mean", "field_largest", "again_mean", "again_largest", "again_dice")
    assert [float(row[name]) for name in names] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.9])
    cells = {line[0]: line[1] for line in findings.section.tables[0].rows}
    assert (
        cells["Its volume simulated again minus that in one step (ml), best at 0"] == "\u22120.060"
    )


def test_a_case_of_which_nothing_was_measured_is_left_out():
    assert ConsistencyAnalysis().finish(None) is None
