"""Drawn futures against the true one, from an evaluation to its tables."""

import csv

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import score_against
from medtranslate.metrics.statistics import wilson_interval
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import Volume
from medtranslate.workflows.analyses.spread import SpreadAnalysis
from medtranslate.workflows.scored_case import DrawnFutures, Followed, ScoredCase

SHAPE = (16, 14, 12)
PROTOCOL = Protocol(scale="none", data_range=1.0, interval_resamples=100)
VOXEL_ML = 0.006
RANKS = {"a": 0, "b": 4, "c": 9, "d": 10, "e": 18}
"""How many of the 19 drawn volumes are below the true one, by person."""


def _block(stop):
    region = np.zeros(SHAPE, bool)
    region[4:stop, 4:8, 2:6] = True
    return region


@pytest.fixture
def analysed(make_affine):
    """What was found over people whose block grows by three layers where the drawn ones differ."""
    geometry = Geometry(SHAPE, make_affine("LSA", spacing=(1.0, 2.0, 3.0)))
    today, later = _block(7), _block(10)
    scan = Volume((0.2 + 0.5 * later).astype(np.float32)[None], geometry)
    chance = np.where(today, 1.0, 0.25 * _block(11)).astype(np.float32)
    analysis, rows = SpreadAnalysis(), []
    for person, below in RANKS.items():
        volumes = later.sum() * VOXEL_ML + 0.1 * (np.arange(19) - below + 0.5)
        case = ScoredCase(
            f"{person}_1", person, scan, {"model": (scan, None)}, mask=np.ones(SHAPE, bool),
            followed=Followed(1.0, today, later, {}, 0.0, drawn=DrawnFutures(volumes, chance)),
        )  # fmt: skip
        yardstick = make_yardstick(case.reference, case.mask, PROTOCOL)
        brought = {"model": yardstick.bring(scan.voxels, scale=None)}
        analysis.add(case, yardstick, brought)
        scores = score_against(yardstick, brought["model"])
        rows.append(ScoredPrediction(case.name, person, "model", scores))
    return analysis.finish(Scoreboard(tuple(rows), "model", False, PROTOCOL))


def test_the_true_volume_has_its_place_among_the_drawn_ones(analysed):
    rows = {
        row["subject"]: row for row in csv.DictReader(analysed.files["spread.csv"].splitlines())
    }

    places = {person: float(row["position"]) for person, row in rows.items()}
    assert places == pytest.approx({who: (rank + 0.5) / 20 for who, rank in RANKS.items()})
    assert float(rows["a"]["width_ml"]) == pytest.approx(0.1 * 18)


def test_coverage_has_an_interval_over_people(analysed):
    achieved = {found["nominal"]: found["achieved"] for found in analysed.summary["coverage"]}

    assert achieved == pytest.approx({0.5: 2 / 5, 0.8: 3 / 5, 0.9: 4 / 5})
    last = analysed.summary["coverage"][-1]
    assert last["interval"] == pytest.approx(wilson_interval(0.8, 5))
    assert last["n"] == 5
    assert analysed.section.tables[0].rows[2] == ("90 %", "80 %", "38 % to 96 %", "5")


def test_chances_are_compared_with_what_came_true(analysed):
    row = next(csv.DictReader(analysed.files["spread.csv"].splitlines()))

    assert int(float(row["doubtful"])) == 4 * 16
    assert float(row["calibration_error"]) == pytest.approx(3 / 4 - 0.25)
    assert (float(row["kept"]), float(row["missed"])) == (1, 0)
    assert len(analysed.section.figures) == 2


def test_without_drawn_futures_there_is_nothing_to_say():
    assert SpreadAnalysis().finish(None) is None
