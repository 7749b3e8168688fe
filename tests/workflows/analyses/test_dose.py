"""Dose surrogate of a case, from an evaluation to its tables."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.metrics.dose import HuCurve
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import score_against
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import Volume
from medtranslate.workflows.analyses.dose import DoseAnalysis
from medtranslate.workflows.scored_case import ScoredCase

PROTOCOL = Protocol(interval_resamples=100)
SHAPE = (30, 9, 24)
DENSITY = HuCurve("density", (-1000.0, 1000.0), (0.0, 2.0), "the phantom")


@pytest.fixture
def make_case(make_affine):
    """Function that builds one case: a box of water, 44 mm wide and 30 mm from front to back."""

    def make(name, *, hu=100.0, unit="HU"):
        geometry = Geometry(SHAPE, make_affine("LSA", spacing=(2.0, 4.0, 1.5)))
        body = np.zeros(SHAPE, bool)
        body[4:26, 1:8, 2:22] = True
        real = np.where(body, 0.0, -1000.0) + (0.0 if unit == "HU" else 1100.0)
        array = real.astype(np.float32)[None]
        reference = Volume(array, geometry, "CT" if unit == "HU" else "T2w", unit)
        synthetic = np.where(body, real + hu, -1024.0 if unit == "HU" else 0.0)
        model = replace(reference, array=synthetic.astype(np.float32)[None])
        return ScoredCase(
            name, name, reference, {"model": (model, None), "perfect": (reference, None)}, body
        )

    return make


def examine(analysis, cases):
    rows = []
    for case in cases:
        yardstick = make_yardstick(case.reference, case.mask, PROTOCOL)
        brought = {m: yardstick.bring(v.voxels, scale=s) for m, (v, s) in case.predictions.items()}
        analysis.add(case, yardstick, brought)
        rows += [
            ScoredPrediction(case.name, case.subject, m, score_against(yardstick, p))
            for m, p in brought.items()
        ]
    is_ct = cases[0].reference.unit == "HU"
    return analysis.finish(Scoreboard(tuple(rows), "model", is_ct, PROTOCOL))


def rows_of(findings):
    rows = csv.DictReader(io.StringIO(findings.files["dose.csv"]))
    return {(row["method"], row["quantity"], row["gantry angle"]): row for row in rows}


def test_ten_percent_too_dense_is_ten_percent_too_deep(make_case):
    findings = examine(DoseAnalysis(curves=[DENSITY], angles=(0, 90)), [make_case("a")])
    found = rows_of(findings)

    for angle, thickness in (("0°", 30.0), ("90°", 44.0)):
        row = found["model", "density", angle]
        assert float(row["centroid_reference"]) == pytest.approx(thickness / 2, abs=1.0)
        assert float(row["centroid_error"]) == pytest.approx(0.05 * thickness, abs=0.1)
        assert float(row["distal_error"]) == pytest.approx(0.1 * thickness, rel=0.1)
        assert float(found["perfect", "density", angle]["distal_absolute"]) == 0.0


def test_too_light_is_negative(make_case):
    findings = examine(DoseAnalysis(angles=(180,)), [make_case("a", hu=-100.0)])

    rows = [row for key, row in rows_of(findings).items() if key[0] == "model"]
    assert len(rows) == 2  # electrons and stopping power
    assert all(float(row["distal_error"]) < -2 for row in rows)


def test_the_section_says_that_it_is_no_dose_and_shows_the_curves(make_case):
    findings = examine(DoseAnalysis(), [make_case("a"), make_case("b", hu=50.0)])
    section = findings.section

    assert "surrogate and not a dose" in section.lead
    assert PROTOCOL.fingerprint in section.lead
    assert section.tables[0].columns == ("Quantity", "Gantry angle", "People", "model", "perfect")
    assert len(section.tables[0].rows) == 8
    assert section.tables[0].rows[0][2] == "2"
    curves = section.tables[-1]
    assert "Schneider" in curves.rows[0][2]
    assert "−1000: 0; 0: 1; 3071: 2.573" in curves.rows[0][1]
    assert findings.summary["curves"][1]["relative"][-1] == pytest.approx(2.3995, abs=1e-3)
    assert section.notes == ()


def test_mr_has_no_dose(make_case):
    assert examine(DoseAnalysis(), [make_case("a", unit="arbitrary")]) is None


def test_a_body_that_no_ray_meets_is_named(make_case):
    case = make_case("a")
    mask = np.zeros(SHAPE, bool)
    mask[10:14, 2:6, [10, 12]] = True  # sheets on both sides of the middle ray
    analysis = DoseAnalysis(angles=(90,))

    findings = examine(analysis, [case, replace(case, name="thin", subject="thin", mask=mask)])

    assert findings.section.notes == ("No ray meets the body: thin.",)
    assert {row["case"] for row in rows_of(findings).values()} == {"a"}


def test_the_case_whose_depths_differ_most_is_drawn_with_its_unit(make_case):
    cases = [make_case("slightly", hu=20.0), make_case("badly", hu=200.0)]

    (figure,) = examine(DoseAnalysis(curves=[DENSITY]), cases).section.figures

    assert "of badly" in figure.caption
    # 0.2 mm too much for each mm crossed: on average half of the way, over beams of 30 and 44 mm.
    size = float(re.search(r"mean size ([0-9.]+) mm of water", figure.caption)[1])
    assert size == pytest.approx((15.0 + 22.0) / 2 * 0.2, abs=0.2)
    assert "mm of water" in figure.svg
    assert "gantry 270" in figure.svg
    assert figure.svg.count("<image") == 5  # four maps and the colour bar


def test_mr_has_no_picture_of_depths(make_case):
    assert examine(DoseAnalysis(), [make_case("a", unit="arbitrary")]) is None
