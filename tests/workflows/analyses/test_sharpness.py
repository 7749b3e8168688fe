"""Sharpness of a case, from an evaluation to its tables."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import score_against
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import Volume
from medtranslate.workflows.analyses.sharpness import SharpnessAnalysis
from medtranslate.workflows.scored_case import ScoredCase

PROTOCOL = Protocol(interval_resamples=100, scale="none", data_range=10.0)
SHAPE = (40, 15, 34)
SPACING = (0.8, 4.0, 1.1)


@pytest.fixture
def make_case(make_affine):
    """Function that builds one case whose slices lie along the file's second axis."""

    def make(name, *, seed=0, border=None):
        geometry = Geometry(SHAPE, make_affine("PSR", spacing=SPACING))
        generator = np.random.default_rng(seed)
        real = 5 + ndimage.gaussian_filter(generator.standard_normal(SHAPE), 0.5)
        soft = ndimage.gaussian_filter(real, (1.0, 0, 1.0))
        flicker = real + 0.3 * (np.arange(SHAPE[1]) % 2)[None, :, None]
        noise = 0.05 * generator.standard_normal(SHAPE)
        seamed = real + noise
        seamed[20:] += 0.5
        mask = np.zeros(SHAPE, bool)
        mask[3:37, 1:14, 4:31] = True
        windows = None if border is None else np.broadcast_to(
            np.arange(SHAPE[0])[:, None, None] >= border, SHAPE
        )  # fmt: skip
        volumes = {"soft": soft, "real": real, "flicker": flicker, "seamed": seamed}
        reference = Volume(real.astype(np.float64)[None], geometry, "T2w")
        return ScoredCase(
            name,
            name[0],
            reference,
            {m: (replace(reference, array=v[None]), None) for m, v in volumes.items()},
            mask,
            windows=windows,
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
    return analysis.finish(Scoreboard(tuple(rows), "soft", False, PROTOCOL))


def rows_of(findings):
    rows = csv.DictReader(io.StringIO(findings.files["sharpness.csv"]))
    return {row["method"]: row for row in rows}


def test_each_fault_shows_in_its_own_measure(make_case):
    found = rows_of(examine(SharpnessAnalysis(), [make_case("a", border=20)]))

    assert float(found["soft"]["gradient_ratio"]) < 0.8
    assert float(found["soft"]["spectrum_distance_db"]) > 3
    assert float(found["real"]["gradient_ratio"]) == 1.0
    assert float(found["real"]["spectrum_distance_db"]) == 0.0
    assert float(found["real"]["histogram_distance"]) == 0.0
    assert found["real"]["seam_score"] == ""
    assert float(found["seamed"]["seam_score"]) > 4


def test_slices_and_voxel_sizes_are_the_file_s(make_case):
    """Flicker of 0.3 between slices 4 mm apart; the gradient by NumPy in the file's order."""
    case = make_case("a")
    found = rows_of(examine(SharpnessAnalysis(), [case]))

    assert float(found["flicker"]["through_plane_error_per_mm"]) == pytest.approx(0.3 / 4)
    inner = ndimage.binary_erosion(case.mask)
    steep = [
        np.linalg.norm(np.gradient(volume, *SPACING), axis=0)[inner].mean()
        for volume in (case.predictions["soft"][0].voxels, case.reference.voxels)
    ]
    assert float(found["soft"]["gradient_ratio"]) == pytest.approx(steep[0] / steep[1])


def test_a_border_elsewhere_is_no_seam(make_case):
    found = rows_of(examine(SharpnessAnalysis(), [make_case("a", border=14)]))

    assert float(found["seamed"]["seam_score"]) < 1.2


def test_the_section_says_how_to_read_it(make_case):
    findings = examine(SharpnessAnalysis(), [make_case("a"), make_case("b", seed=4)])
    section = findings.section

    assert "below 1 means blur" in section.lead
    assert PROTOCOL.fingerprint in section.lead
    assert section.tables[0].columns == ("Measure", "People", "soft", "real", "flicker", "seamed")
    assert [row[1] for row in section.tables[0].rows] == ["2"] * 4  # no seam score
    assert any("No seam score" in note for note in section.notes)
    assert findings.summary["by_method"][0]["gradient_ratio"]["n"] == 2


def test_the_drawing_shows_lost_detail_below_zero(make_case):
    analysis = SharpnessAnalysis()
    section = examine(analysis, [make_case("a")]).section

    assert len(section.figures) == 1
    assert "<svg" in section.figures[0].svg
    curve = analysis._curves["soft"]["a"]
    assert curve[max(curve)] < -3
    assert set(analysis._curves["real"]["a"].values()) == {0.0}
