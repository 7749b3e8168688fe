"""Models whose treatment of lesions is known: one copies, one shows nothing, one invents."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from medtranslate.data.cases import Case
from medtranslate.errors import VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume, write_volume
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import MEASURES, CaseScores
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import IntensityScale, Volume
from medtranslate.workflows.analyses.lesions import LesionAudit
from medtranslate.workflows.analyses.retranslation import Retranslation
from medtranslate.workflows.scored_case import ScoredCase

SHAPE = (44, 30, 40)
SPACING = (1.0, 1.5, 1.2)
# The file's third axis runs from the left to the right: slices are not its last axis.
AFFINE = np.array([[0, 0, 1.2, 3.0], [1.0, 0, 0, -8.0], [0, 1.5, 0, 2.0], [0, 0, 0, 1]])
GEOMETRY = Geometry(SHAPE, AFFINE)
SCALE = IntensityScale(0.0, 800.0)
PROTOCOL = Protocol(scale="sidecar")


def ball(centre, radius):
    """Voxels within ``radius`` mm of a voxel."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    return np.linalg.norm((index - centre) * SPACING, axis=-1) <= radius


MASK = np.zeros(SHAPE, bool)
MASK[1:-1, 1:-1, 1:-1] = True
HEALTHY = MASK * (500 + 10 * np.random.default_rng(0).standard_normal(SHAPE))
LESION = ball((12, 8, 10), 4)
ELSEWHERE = ball((5, 24, 5), 3)


def volume(voxels):
    return Volume(voxels.astype(np.float32)[None], GEOMETRY)


def copy(case):
    return read_volume(case.source)


def half(case):
    """Shows every contrast at half its strength."""
    found = read_volume(case.source)
    return replace(found, array=np.where(MASK, 500 + 0.5 * (found.array - 500), 0))


def constant(case):
    return volume(400.0 * MASK)


def invent(case):
    """Copies, and draws a lesion where none is."""
    found = read_volume(case.source)
    return replace(found, array=np.where(ELSEWHERE, 0.5 * found.array, found.array))


def refuse(case):
    raise VolumeReadError("no mask")


def audit(tmp_path, predict, *, source=HEALTHY, real=None, labels=None, radii=(4.0, 2.5)):
    """The findings and the rows of one case; the model's first prediction is of the source."""
    path = tmp_path / "sub-01_T1w.nii.gz"
    write_volume(path, volume(source))
    case = Case("case", "toy", "toy/01", None, path)
    model = Retranslation({"case": case}, predict, "T1w", SCALE)
    reference = volume(source if real is None else real)
    yardstick = make_yardstick(reference, MASK, PROTOCOL)
    first = read_volume(path) if predict in (invent, refuse) else predict(case)
    scored = ScoredCase(
        "case", "toy/01", reference, {"model": (first, SCALE)}, mask=MASK, labels=labels or {}
    )
    analysis = LesionAudit(model, radii)
    analysis.add(scored, yardstick, {"model": yardstick.bring(first.voxels, scale=SCALE)})
    scores = CaseScores((), dict.fromkeys(MEASURES, 1.0))
    board = Scoreboard(
        (ScoredPrediction("case", "toy/01", "model", scores),), "model", False, PROTOCOL
    )
    findings = analysis.finish(board)
    rows = (
        [] if findings is None else list(csv.DictReader(findings.files["lesions.csv"].split("\n")))
    )
    return findings, rows


def mean(findings, name):
    return findings.summary[name]["mean"]


def test_a_model_that_copies_the_source_keeps_every_lesion_whole(tmp_path):
    findings, rows = audit(tmp_path, copy)

    assert mean(findings, "inserted: shown") == 1.0
    np.testing.assert_allclose(mean(findings, "inserted: contrast retained"), 1.0, rtol=1e-4)
    assert mean(findings, "false lesions per volume") == 0
    assert [float(row["radius_mm"]) for row in rows] == [4.0, 2.5]
    for row in rows:
        # A little less than 30 %: the edge fades within the ellipsoid.
        assert -0.30 <= float(row["contrast_source"]) <= -0.24
        np.testing.assert_allclose(
            float(row["contrast_synthetic"]), float(row["contrast_source"]), rtol=1e-4
        )


def test_a_model_that_shows_half_keeps_half(tmp_path):
    findings, _ = audit(tmp_path, half)

    np.testing.assert_allclose(mean(findings, "inserted: contrast retained"), 0.5, rtol=0.01)


def test_a_constant_prediction_loses_every_lesion(tmp_path):
    findings, _ = audit(tmp_path, constant)

    assert mean(findings, "inserted: shown") == 0.0
    assert mean(findings, "inserted: contrast retained") == 0.0
    assert mean(findings, "inserted, 2.5 mm: shown") == 0.0


def test_a_lesion_where_none_was_put_is_a_false_one(tmp_path):
    findings, _ = audit(tmp_path, invent)

    assert mean(findings, "false lesions per volume") == 1
    assert mean(findings, "inserted: shown") == 1.0


def test_given_lesions_are_compared_with_the_real_scan_and_erased(tmp_path):
    """The source shows the lesion at -40 %, the real scan at -20 %: a copy retains twice."""
    source = np.where(LESION, 0.6 * HEALTHY, HEALTHY)
    real = np.where(LESION, 0.8 * HEALTHY, HEALTHY)

    findings, rows = audit(
        tmp_path, copy, source=source, real=real, labels={"mask+label-lesion": LESION}
    )

    assert mean(findings, "given: shown") == 1.0
    np.testing.assert_allclose(mean(findings, "given: contrast retained"), 2.0, rtol=0.02)
    assert mean(findings, "given, erased from the source: still shown") == 0.0
    given = [row for row in rows if row["kind"] == "given"]
    assert len(given) == 1
    assert abs(float(given[0]["contrast_after_erasing"])) < 0.02


def test_given_lesions_that_the_real_scan_does_not_show_count_in_no_other_rate(tmp_path):
    """A second label marks tissue that is dark in the source alone."""
    other = ball((32, 8, 30), 4)
    source = np.where(LESION | other, 0.6 * HEALTHY, HEALTHY)
    real = np.where(LESION, 0.8 * HEALTHY, HEALTHY)
    labels = {"lesion": LESION | other}

    findings, rows = audit(tmp_path, copy, source=source, real=real, labels=labels)

    assert mean(findings, "given: seen in the real scan") == 0.5
    np.testing.assert_allclose(mean(findings, "given: contrast retained"), 2.0, rtol=0.02)
    given = {row["visible_in_real"]: row for row in rows if row["kind"] == "given"}
    assert given["true"]["retained"] != ""
    assert given["false"]["retained"] == ""


def test_no_lesion_is_put_beside_a_given_one(tmp_path):
    """Given specks all over the patient, five millimetres apart, leave no healthy place."""
    specks = np.zeros(SHAPE, bool)
    specks[::6, ::4, ::5] = True

    findings, _ = audit(tmp_path, copy, labels={"lesion": specks})

    assert findings is None


def test_a_model_that_draws_the_lesion_from_its_place_is_found_out(tmp_path):
    source = np.where(LESION, 0.6 * HEALTHY, HEALTHY)

    def remember(case):
        return volume(source)

    findings, _ = audit(tmp_path, remember, source=source, labels={"tumour": LESION})

    assert mean(findings, "given, erased from the source: still shown") == 1.0


def test_labels_that_are_no_lesions_are_not_erased(tmp_path):
    findings, rows = audit(tmp_path, copy, labels={"dseg: thalamus": LESION})

    assert not any(name.startswith("given") for name in findings.summary)
    assert {row["kind"] for row in rows} == {"inserted"}


def test_a_lesion_that_finds_no_place_is_named(tmp_path):
    findings, _ = audit(tmp_path, copy, radii=(40.0, 2.5))

    assert "case: healthy places for 1 of 2 lesions." in findings.section.notes


def test_a_case_that_cannot_be_tried_leaves_no_findings(tmp_path):
    findings, _ = audit(tmp_path, refuse)

    assert findings is None


def test_the_lead_states_size_strength_and_rule(tmp_path):
    findings, _ = audit(tmp_path, copy)

    for text in ("4, 2.5 mm radius", "30 % darker", "1 to 5 mm around", PROTOCOL.fingerprint):
        assert text in findings.section.lead


@pytest.mark.parametrize(("modality", "word"), [("CT", "2 % darker"), ("FLAIR", "30 % brighter")])
def test_lesions_are_dark_in_t1w_and_ct_and_bright_elsewhere(modality, word):
    model = Retranslation({}, copy, modality, SCALE)

    assert word in LesionAudit(model)._lead(
        Scoreboard(
            (ScoredPrediction("c", "s", "m", CaseScores((), dict.fromkeys(MEASURES, 1.0))),),
            "m",
            False,
            PROTOCOL,
        )
    )
