"""Degraded sources sent through a model, scored against the same real scan."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from medtranslate.data.cases import Case
from medtranslate.data.degradation import Degradation, rescale_intensity
from medtranslate.errors import VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume, write_volume
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import MEASURES, CaseScores, score_against
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import IntensityScale, Volume
from medtranslate.workflows.analyses.retranslation import Retranslation
from medtranslate.workflows.analyses.stress import StressAnalysis
from medtranslate.workflows.scored_case import ScoredCase

GEOMETRY = Geometry((14, 12, 4), np.diag([1.0, 1.0, 3.0, 1.0]))
SCALE = IntensityScale(0.0, 600.0)
PROTOCOL = Protocol(scale="sidecar")
GAIN = Degradation("gain", "factor", (2.0, 4.0), 1.0, False, rescale_intensity)
MASK = np.ones(GEOMETRY.shape, bool)


def person(seed):
    voxels = np.random.default_rng(seed).uniform(100, 600, GEOMETRY.shape)
    return Volume(voxels.astype(np.float32)[None], GEOMETRY)


def copy(case):
    return read_volume(case.source)


def board_of(subjects):
    scores = CaseScores((), dict.fromkeys(MEASURES, 1.0))
    rows = [ScoredPrediction(case, who, "model", scores) for case, who in subjects.items()]
    return Scoreboard(tuple(rows), "model", False, PROTOCOL)


SUBJECTS = {"a1": "a", "a2": "a", "b": "b"}


@pytest.fixture
def scans(tmp_path):
    """Two visits of one person and one of another: sources on disk and real scans."""
    sources, cases = {}, {}
    for number, (name, subject) in enumerate(SUBJECTS.items()):
        path = tmp_path / f"{name}_T1w.nii.gz"
        sources[name] = person(number)
        write_volume(path, sources[name])
        cases[name] = Case(name, "toy", subject, None, path)
    return sources, cases


def run(scans, predict, *, modality="T1w"):
    sources, cases = scans
    model = Retranslation(cases, predict, modality, SCALE)
    analysis = StressAnalysis(model, [GAIN])
    yardsticks = {}
    for name, source in sources.items():
        yardstick = yardsticks[name] = make_yardstick(person(10), MASK, PROTOCOL)
        case = ScoredCase(name, SUBJECTS[name], person(10), {"model": (source, SCALE)}, mask=MASK)
        analysis.add(case, yardstick, {"model": yardstick.bring(source.voxels, scale=SCALE)})
    return analysis.finish(board_of(SUBJECTS)), yardsticks


def test_each_strength_is_scored_by_the_protocol_and_averaged_over_people(scans):
    findings, yardsticks = run(scans, copy)

    def expected(name, factor):
        yardstick, source = yardsticks[name], scans[0][name]
        brought = yardstick.bring(factor * source.voxels, scale=SCALE)
        return score_against(yardstick, brought).values["psnr"]

    for factor in (1.0, 2.0, 4.0):
        visits, other = [expected(name, factor) for name in ("a1", "a2")], expected("b", factor)
        found = findings.summary["gain"]["scores"][f"{factor:g}"]["psnr"]
        np.testing.assert_allclose(found["mean"], (np.mean(visits) + other) / 2, rtol=1e-6)
        assert found["n"] == 2


def test_the_files_hold_every_case_and_strength(scans):
    findings, _ = run(scans, copy)

    rows = list(csv.DictReader(findings.files["stress.csv"].splitlines()))

    assert sorted((row["case"], float(row["strength"])) for row in rows) == sorted(
        (name, factor) for name in SUBJECTS for factor in (1.0, 2.0, 4.0)
    )
    assert "gain: factor 2, 4" in findings.section.lead
    assert [row[1] for row in findings.section.tables[0].rows] == ["none", "2", "4"]


def test_a_degraded_source_that_is_refused_is_named_and_counts_in_no_mean(scans):
    def picky(case):
        source = read_volume(case.source)
        if case.name == "b" and source.array.max() > 2000:
            raise VolumeReadError("too bright")
        return source

    findings, _ = run(scans, picky)

    assert findings.section.notes == ("b, gain 4: refused (too bright); it counts in no mean.",)
    assert findings.summary["gain"]["scores"]["4"]["psnr"]["n"] == 1
    assert findings.summary["gain"]["scores"]["2"]["psnr"]["n"] == 2


def test_ct_is_spared_what_cannot_happen_to_it(scans):
    findings, _ = run(scans, copy, modality="CT")

    assert findings.summary == {}
