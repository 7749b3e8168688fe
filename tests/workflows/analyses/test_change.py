"""Change of a case, from an evaluation to its table."""

import csv

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.metrics.change_baselines import NO_CHANGE
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import score_against
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import Volume
from medtranslate.workflows.analyses.change import ChangeAnalysis
from medtranslate.workflows.scored_case import Followed, ScoredCase

SHAPE = (16, 14, 12)
PROTOCOL = Protocol(scale="none", data_range=1.0, interval_resamples=100)


def _block(stop):
    region = np.zeros(SHAPE, bool)
    region[4:stop, 4:8, 2:6] = True
    return region


@pytest.fixture
def found(make_affine):
    """The row of each method, for a block that grows by three voxels where the model says two."""
    geometry = Geometry(SHAPE, make_affine("LSA", spacing=(1.0, 2.0, 3.0)))
    background = np.random.default_rng(0).uniform(0.2, 0.3, SHAPE)
    today, later, said = _block(7), _block(10), _block(9)
    scans = [
        Volume((background + 0.5 * region).astype(np.float32)[None], geometry)
        for region in (later, said, today)
    ]
    case = ScoredCase(
        "p_1", "p", scans[0], {"model": (scans[1], None), NO_CHANGE: (scans[2], None)},
        mask=np.ones(SHAPE, bool),
        followed=Followed(2.0, today, later, {"model": said * 1.0, NO_CHANGE: today * 1.0}, 0.25),
    )  # fmt: skip
    yardstick = make_yardstick(case.reference, case.mask, PROTOCOL)
    brought = {
        name: yardstick.bring(volume.voxels, scale=None)
        for name, (volume, _) in case.predictions.items()
    }
    analysis = ChangeAnalysis()
    analysis.add(case, yardstick, brought)
    rows = tuple(
        ScoredPrediction("p_1", "p", name, score_against(yardstick, prediction))
        for name, prediction in brought.items()
    )
    findings = analysis.finish(Scoreboard(rows, "model", False, PROTOCOL))
    table = csv.DictReader(findings.files["change.csv"].splitlines())
    return {row["method"]: row for row in table}


def test_the_image_of_the_change_is_scored(found):
    total = np.prod(SHAPE)

    assert float(found["model"]["mae"]) == pytest.approx(0.5 * 16 / total, rel=1e-5)
    assert float(found[NO_CHANGE]["mae"]) == pytest.approx(0.5 * 48 / total, rel=1e-5)
    assert found[NO_CHANGE]["correlation"] == ""
    assert 0.7 < float(found["model"]["correlation"]) < 1


def test_psnr_is_taken_where_the_region_changed(found):
    assert float(found[NO_CHANGE]["psnr_changed"]) == pytest.approx(-10 * np.log10(0.25), rel=1e-4)
    assert float(found["model"]["psnr_changed"]) == pytest.approx(
        -10 * np.log10(0.25 / 3), rel=1e-4
    )


def test_volumes_and_overlaps_are_those_of_the_regions(found):
    names = found["model"].keys() - {"case", "subject", "method"}
    model = {name: float(found["model"][name]) for name in names}
    layer_ml = 16 * 6 / 1000

    assert model["change_true_ml"] == pytest.approx(3 * layer_ml)
    assert model["change_ml"] == pytest.approx(2 * layer_ml)
    assert model["error_ml"] == pytest.approx(-layer_ml)
    assert model["error_percent"] == pytest.approx(-100 / 3)
    assert model["dice"] == pytest.approx(2 * 5 / 11)
    assert model["changed_dice"] == pytest.approx(2 * 2 / 5)
    assert (model["precision"], model["recall"]) == pytest.approx((1, 2 / 3))
    assert model["folded_percent"] == 25


def test_a_baseline_plans_the_same_margin_all_around(found):
    # 48 more voxels, in layers of 16: one on either side at 1 mm, and one at 2 mm on the far side.
    assert float(found[NO_CHANGE]["covered"]) == pytest.approx((48 + 16) / 96)


def test_a_case_that_follows_nobody_is_left_out():
    assert ChangeAnalysis().finish(None) is None
