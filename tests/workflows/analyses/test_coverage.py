"""Achieved coverage of intervals whose errors are drawn with a known deviation."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from medtranslate.geometry import Geometry
from medtranslate.metrics.calibration import LEVELS, Calibration
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import MEASURES, CaseScores
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import CT_SCALE, IntensityScale, Volume
from medtranslate.workflows.analyses.coverage import Coverage
from medtranslate.workflows.scored_case import ScoredCase

PROTOCOL = Protocol(scale="sidecar", interval_resamples=200)
SHAPE = (24, 31, 27)
NORMAL = Calibration(1e-9, {level: float(norm.ppf(0.5 + level / 2)) for level in LEVELS}, 3, 30_000)
FACTOR = 640.0
"""Stored units of one normalised unit of the MR model; the reference has a scale of its own."""


@pytest.fixture
def make_case(make_affine):
    """Function that builds a case of which the deviation of every error is known."""

    def make(name, *, seed=0, told=1.0, is_ct=False, labels=False):
        rng = np.random.default_rng(seed)
        geometry = Geometry(SHAPE, make_affine("LSA", spacing=(1.2, 3.0, 0.9)))
        index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"))
        mask = np.zeros(SHAPE, bool)
        mask[2:20, 3:28, 2:25] = True
        sd = 0.005 + 0.002 * index[0] + 0.001 * index[1]
        real = np.where(mask, 0.3 + 0.02 * index[2], 0.0)
        real /= np.percentile(real[mask], 99.5)
        real = real * 0.6 if is_ct else real
        predicted = real + rng.normal(0, sd)
        scale = CT_SCALE if is_ct else IntensityScale(0.0, FACTOR)
        unit, modality = ("HU", "CT") if is_ct else ("arbitrary", "T2w")
        stored = scale.restore(real) if is_ct else (1700 * real).astype(np.float32)
        reference = Volume(stored[None], geometry, modality, unit)
        prediction = replace(reference, array=scale.restore(predicted)[None])
        return ScoredCase(
            name,
            name[0],
            reference,
            {"model": (prediction, scale), "perfect": (reference, scale)},
            mask,
            labels={"corner": (index[0] < 9) & (index[1] < 12), "outside": index[0] > 21}
            if labels
            else {},
            sd=(told * sd * scale.factor).astype(np.float32),
        )

    return make


def analyse(*cases, calibration=NORMAL):
    analysis = Coverage(calibration)
    rows = []
    for case in cases:
        yardstick = make_yardstick(case.reference, case.mask, PROTOCOL)
        brought = {m: yardstick.bring(v.voxels, scale=s) for m, (v, s) in case.predictions.items()}
        analysis.add(case, yardstick, brought)
        scores = CaseScores((), dict.fromkeys(MEASURES, 20.0))
        rows += [ScoredPrediction(case.name, case.subject, m, scores) for m in brought]
    is_ct = cases[0].reference.unit == "HU"
    return analysis.finish(Scoreboard(tuple(rows), "model", is_ct, PROTOCOL))


def achieved(findings, case, region="whole mask", what="coverage"):
    rows = csv.DictReader(io.StringIO(findings.files["coverage.csv"]))
    chosen = [row for row in rows if (row["case"], row["region"]) == (case, region)]
    return [float(row[what]) for row in chosen]


@pytest.mark.parametrize("is_ct", [False, True])
def test_errors_of_the_told_deviation_reach_nominal_coverage(make_case, is_ct):
    findings = analyse(make_case("a1", is_ct=is_ct))

    sampling = [4 * np.sqrt(level * (1 - level) / (18 * 25 * 23)) for level in LEVELS]
    assert np.abs(np.array(achieved(findings, "a1")) - LEVELS).max() < max(sampling)


def test_a_deviation_told_half_as_large_covers_what_half_the_interval_covers(make_case):
    findings = analyse(make_case("a1", told=0.5))

    expected = [2 * norm.cdf(0.5 * NORMAL.factors[level]) - 1 for level in LEVELS]
    np.testing.assert_allclose(achieved(findings, "a1"), expected, atol=0.02)


@pytest.mark.parametrize("is_ct", [False, True])
def test_the_width_is_in_the_unit_of_the_scores(make_case, is_ct):
    case = make_case("a1", is_ct=is_ct)

    findings = analyse(case)

    unit = 1.0 if is_ct else FACTOR
    mean_sd = float(case.sd[case.mask].mean()) / unit
    expected = [2 * NORMAL.factors[level] * mean_sd for level in LEVELS]
    np.testing.assert_allclose(achieved(findings, "a1", what="mean_width"), expected, rtol=1e-4)
    assert ("Width (HU)" if is_ct else "Width (scaled intensity)") in (
        findings.section.tables[0].columns
    )


def test_a_region_is_counted_where_it_lies_in_the_file_and_in_the_mask(make_case):
    """Where deviations are told too small, and only there, too little is covered."""
    case = make_case("a1", labels=True)
    sd = case.sd.copy()
    sd[:9, :12] /= 4

    findings = analyse(replace(case, sd=sd))

    expected = [2 * norm.cdf(NORMAL.factors[level] / 4) - 1 for level in LEVELS]
    np.testing.assert_allclose(achieved(findings, "a1", "corner"), expected, atol=0.04)
    assert achieved(findings, "a1", "outside") == []
    assert [row[0] for row in findings.section.tables[1].rows] == ["whole mask", "corner"]


def test_the_floor_counts_in_normalised_units(make_case):
    """Without any deviation the intervals have the width of the floor alone."""
    case = make_case("a1")
    flat = Calibration(0.03, NORMAL.factors, 3, 30_000)

    findings = analyse(replace(case, sd=np.zeros(SHAPE, np.float32)), calibration=flat)

    expected = [2 * 0.03 * NORMAL.factors[level] for level in LEVELS]
    np.testing.assert_allclose(achieved(findings, "a1", what="mean_width"), expected, rtol=1e-6)


def test_people_count_once_and_the_least_covered_comes_first(make_case):
    findings = analyse(
        make_case("a1", seed=1), make_case("a2", seed=2, told=0.5), make_case("b1", seed=3)
    )

    at_90 = {case: achieved(findings, case)[2] for case in ("a1", "a2", "b1")}
    people = {"a": (at_90["a1"] + at_90["a2"]) / 2, "b": at_90["b1"]}
    levels, by_person = findings.section.tables
    row = next(row for row in levels.rows if row[0] == "90 %")
    assert row[1] == f"{100 * np.mean(list(people.values())):.1f} %"
    assert row[3:5] == (f"{100 * people['a']:.1f} %", f"{100 * people['b']:.1f} %")
    assert [row[0] for row in by_person.rows] == ["a", "b"]
    assert by_person.rows[0][3] == f"{100 * people['a']:.1f} %"


def test_the_section_says_where_the_factors_come_from_and_what_they_do_not_promise(make_case):
    alone = Calibration(0.03, NORMAL.factors, 1, 30_000)

    section = analyse(make_case("a1"), calibration=alone).section

    assert "90 %: 1.64" in section.lead
    assert "floor 0.03" in section.lead
    assert "1 person" in section.lead
    assert PROTOCOL.fingerprint in section.lead
    assert any("not exchangeable" in note for note in section.notes)
    assert any("One validation person" in note for note in section.notes)
    assert "nominal coverage (%)" in section.figures[0].svg


def test_the_summary_holds_the_calibration_and_every_level(make_case):
    summary = analyse(make_case("a1")).summary

    assert summary["calibration"] == NORMAL.to_json()
    assert [row["nominal"] for row in summary["by_region"]] == ["50 %", "80 %", "90 %", "95 %"]


def test_without_deviations_there_is_no_section(make_case):
    assert analyse(replace(make_case("a1"), sd=None)) is None
