"""Sources unlike the training scans, named in the report."""

from __future__ import annotations

import csv

import numpy as np

from medtranslate.data.familiarity import Departure
from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import MEASURES, CaseScores
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import Volume
from medtranslate.workflows.analyses.familiarity import Familiarity
from medtranslate.workflows.scored_case import ScoredCase

REFERENCE = Volume(np.ones((1, 4, 4, 4), np.float32), Geometry((4, 4, 4), np.eye(4)))
NEAR = (Departure("size (mm)", 1.5, 1.0, 2.0, 0.0, 3), Departure("volume (ml)", 9, 1, 8, 0.2, 3))
FAR = (Departure("size (mm)", 5.0, 1.0, 2.0, 3.0, 3), Departure("volume (ml)", 2, 1, 8, 0.0, 3))


def analyse(**departures):
    mask = np.ones((4, 4, 4), bool)
    yardstick = make_yardstick(REFERENCE, mask, Protocol())
    analysis = Familiarity()
    for name, found in departures.items():
        case = ScoredCase(name, name, REFERENCE, {"m": (REFERENCE, None)}, departures=found)
        analysis.add(case, yardstick, {"m": yardstick.reference})
    rows = [
        ScoredPrediction(name, name, "m", CaseScores((), dict.fromkeys(MEASURES, 20.0 + n)))
        for n, name in enumerate(departures)
    ]
    return analysis.finish(Scoreboard(tuple(rows), "m", False, Protocol()))


def test_the_strangest_source_comes_first_beside_its_score():
    findings = analyse(near=NEAR, far=FAR)

    assert findings.section.tables[0].rows == (
        ("far", "size (mm)", "3.00", "yes", "21.00"),
        ("near", "volume (ml)", "0.20", "no", "20.00"),
    )


def test_what_lies_outside_is_warned_of_and_only_that():
    findings = analyse(near=NEAR, far=FAR)

    assert findings.section.notes == (f"far: {FAR[0].warning}.",)
    assert findings.summary["warnings"] == list(findings.section.notes)
    assert "compared with the 3 training scans" in findings.section.lead
    assert "above 0.5" in findings.section.lead


def test_every_property_is_in_the_file():
    rows = list(csv.DictReader(analyse(far=FAR).files["familiarity.csv"].splitlines()))

    assert [(row["property"], float(row["distance"]), row["outside"]) for row in rows] == [
        ("size (mm)", 3.0, "true"),
        ("volume (ml)", 0.0, "false"),
    ]


def test_without_a_model_there_is_nothing_to_say():
    assert analyse(one=()) is None
