"""Regions of a case, from an evaluation to its tables."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import score_against
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import Volume
from medtranslate.workflows.analyses.regions import RegionAnalysis
from medtranslate.workflows.scored_case import ScoredCase

PROTOCOL = Protocol(interval_resamples=100)
SHAPE = (18, 25, 21)


@pytest.fixture
def make_case(make_affine):
    """Function that builds one CT case, slices along the file's second axis."""

    def make(name, *, unit="HU"):
        geometry = Geometry(SHAPE, make_affine("LSA", spacing=(1.2, 3.0, 0.9)))
        index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"))
        hu = np.where(index[0] < 9, 40.0, 800.0)
        hu[:, :, :6] = -900.0
        if unit != "HU":
            hu = hu + 1000.0
        change = np.where(index[1] < 10, 30.0, -10.0) + np.where(hu > 500, -200.0, 0.0)
        mask = np.zeros(SHAPE, bool)
        mask[2:17, 3:24, 2:20] = True
        volume = Volume(
            hu.astype(np.float32)[None], geometry, "CT" if unit == "HU" else "T2w", unit
        )
        prediction = replace(volume, array=(hu + change).astype(np.float32)[None])
        labels = {"low": index[1] < 10, "elsewhere": index[0] < 2}
        return ScoredCase(
            name,
            name[0],
            volume,
            {"model": (prediction, None), "perfect": (volume, None)},
            mask,
            labels=labels,
            labels_left_out=("dseg lies on another grid than the scored scans",),
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
    return Scoreboard(tuple(rows), "model", cases[0].reference.unit == "HU", PROTOCOL)


def rows_of(findings, method="model"):
    rows = csv.DictReader(io.StringIO(findings.files["regions.csv"]))
    return {row["region"]: row for row in rows if row["method"] == method}


def test_every_region_is_scored_where_it_lies_in_the_file(make_case):
    case = make_case("a")
    analysis = RegionAnalysis()
    board = examine(analysis, [case])

    found = rows_of(analysis.finish(board))

    error = (case.predictions["model"][0].voxels - case.reference.voxels).astype(float)
    hu = case.reference.voxels
    expected = {
        "whole mask": case.mask,
        "low": case.mask & case.labels["low"],
        "air": case.mask & (hu < -200),
        "soft tissue": case.mask & (hu >= -200) & (hu < 150),
        "bone": case.mask & (hu >= 150),
    }
    assert set(found) == {*expected, "boundary shell"}
    for name, region in expected.items():
        assert int(found[name]["voxels"]) == np.count_nonzero(region)
        assert float(found[name]["me"]) == pytest.approx(error[region].mean())
        assert float(found[name]["mae"]) == pytest.approx(np.abs(error[region]).mean())


def test_the_whole_mask_scores_what_the_volume_scores(make_case):
    analysis = RegionAnalysis()
    board = examine(analysis, [make_case("a")])

    found = rows_of(analysis.finish(board))["whole mask"]

    volume = board.of("model")[0].scores.values
    for name in ("psnr", "ssim", "mae", "me"):
        assert float(found[name]) == pytest.approx(volume[f"{name}_volume"], rel=1e-9)


def test_bone_dice_is_one_only_for_the_right_bone(make_case):
    case = make_case("a")
    prediction = case.predictions["model"][0]
    lost = np.where((prediction.voxels > 150) & case.labels["low"], 100.0, prediction.voxels)
    case = replace(
        case,
        predictions={
            **case.predictions,
            "model": (replace(prediction, array=lost[None]), None),
        },
    )
    analysis = RegionAnalysis()
    findings = analysis.finish(examine(analysis, [case]))

    bone = case.mask & (case.reference.voxels >= 150)
    kept = case.mask & (lost >= 150)
    expected = 2 * np.count_nonzero(bone & kept) / (bone.sum() + kept.sum())
    assert float(rows_of(findings)["bone"]["dice"]) == pytest.approx(expected)
    assert float(rows_of(findings, "perfect")["bone"]["dice"]) == 1.0
    assert rows_of(findings)["air"]["dice"] == ""


def test_what_is_empty_or_unusable_is_named_and_left_out(make_case):
    analysis = RegionAnalysis()
    findings = analysis.finish(examine(analysis, [make_case("a"), make_case("b")]))

    assert "elsewhere has no voxel in the mask: a, b." in findings.section.notes
    assert any("dseg lies on another grid" in note for note in findings.section.notes)
    assert findings.summary["left_out"]["elsewhere has no voxel in the mask"] == ["a", "b"]


def test_tables_stand_for_people_and_name_rule_and_unit(make_case):
    analysis = RegionAnalysis()
    cases = [make_case("a"), replace(make_case("a2"), subject="a"), make_case("b")]
    board = examine(analysis, cases)
    section = analysis.finish(board).section

    captions = [table.caption for table in section.tables]
    assert len(captions) == 5
    assert "MAE (HU)" in captions[2]
    assert PROTOCOL.fingerprint in section.lead
    assert section.tables[0].columns == ("Region", "People", "model", "perfect")
    assert {row[1] for row in section.tables[0].rows} == {"2"}
    assert section.tables[0].rows[0][3] == "∞"


def test_mr_has_no_tissues_by_hu(make_case):
    analysis = RegionAnalysis()
    board = examine(analysis, [make_case("a", unit="arbitrary")])
    findings = analysis.finish(board)

    assert set(rows_of(findings)) == {"whole mask", "boundary shell", "low"}
    assert "HU" not in findings.section.lead
    assert "scaled intensity" in findings.section.tables[2].caption
    assert len(findings.section.tables) == 4
