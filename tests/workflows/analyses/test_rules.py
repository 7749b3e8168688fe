"""The part of the report that scores one result by many rules."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.rule_scoring import score_by_rule
from medtranslate.metrics.rules import RULES
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import score_against
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import Volume
from medtranslate.workflows.analyses.rules import RulesAnalysis
from medtranslate.workflows.evaluate import evaluate_cases
from medtranslate.workflows.scored_case import ScoredCase

SHAPE = (22, 26, 19)  # the file's axes run L, I, P: slices lie along the second


@pytest.fixture
def make_case(make_volume):
    """Function that builds a case with a model and a baseline; CT if the unit is HU."""

    def build(name, subject, *, seed, unit="arbitrary", shape=SHAPE):
        generator = np.random.default_rng(seed)
        blank = make_volume(shape, orientation="LIP")
        mask = blank.voxels > 0
        rough = 500 + 400 * ndimage.gaussian_filter(generator.standard_normal(shape), 1.0)
        voxels = np.where(mask, rough + blank.voxels / 3, 20)
        if unit == "HU":
            voxels = np.where(mask, voxels - 600, -1024)
            voxels[8:11, 9:11, 8:11] = 3500
        reference = Volume(
            voxels.astype(np.float32)[None],
            blank.geometry,
            "CT" if unit == "HU" else "T2w",
            "HU" if unit == "HU" else "arbitrary",
        )
        blurred = 0.9 * ndimage.gaussian_filter(reference.voxels, (0.9, 0.5, 0.7))
        model = replace(reference, array=blurred[None])
        worse = replace(reference, array=0.5 * blurred[None])
        predictions = {"cgan": (model, None), "lookup map": (worse, None)}
        return ScoredCase(name, subject, reference, predictions, mask=mask)

    return build


def analyse(cases, *, rules, protocol):
    """What the analysis finds, and the board of the protocol beside it."""
    analysis = RulesAnalysis(rules)
    rows = []
    for case in cases:
        yardstick = make_yardstick(case.reference, case.mask, protocol)
        brought = {
            method: yardstick.bring(volume.voxels, scale=None)
            for method, (volume, _) in case.predictions.items()
        }
        rows += [
            ScoredPrediction(case.name, case.subject, method, score_against(yardstick, prediction))
            for method, prediction in brought.items()
        ]
        analysis.add(case, yardstick, brought)
        is_ct = yardstick.is_ct
    board = Scoreboard(tuple(rows), "cgan", is_ct, protocol)
    return analysis.finish(board), board


def expected_of(case, rule, *, is_ct):
    """The rule on arrays sliced here: the second voxel axis runs along the head."""
    x, y = case.reference.voxels.astype(float), case.predictions["cgan"][0].voxels.astype(float)
    top = 1.0 if is_ct else np.percentile(x[case.mask], 99.5)
    sliced = [np.moveaxis(array, 1, 0) for array in (x / top, y / top, case.mask)]
    return score_by_rule(RULES[rule], *sliced, is_ct=is_ct)


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("rule", ["ganslate", "own-maximum", "brasyn", "monai"])
def test_mr_is_scored_by_the_rule_s_own_slices_in_the_protocol_s_unit(make_case, axis, rule):
    case = make_case("a", "p", seed=1)

    found, _ = analyse([case], rules=[RULES[rule]], protocol=Protocol(axis=axis))

    table = pd.read_csv(io.StringIO(found.files["rules.csv"])).query("rule == @rule")
    values = dict(zip(table["measure"], table["value"], strict=True))
    assert values == pytest.approx(expected_of(case, rule, is_ct=False), rel=1e-9)


@pytest.mark.parametrize("rule", ["synthrad2023", "synthrad2025", "ganslate", "monai"])
def test_ct_is_scored_in_hu_as_stored(make_case, rule):
    """The protocol clips at 3071 HU, the rules see 3500."""
    case = make_case("a", "p", seed=1, unit="HU")

    found, _ = analyse([case], rules=[RULES[rule]], protocol=Protocol(axis="sagittal"))

    measures = found.summary[rule]["measures"]
    values = {name: one["mean"] for name, one in measures.items()}
    assert values == pytest.approx(expected_of(case, rule, is_ct=True), rel=1e-9)


def test_a_stated_data_range_becomes_the_peak(make_case):
    case = make_case("a", "p", seed=1)
    protocol = Protocol(scale="none", data_range=800.0)

    found, _ = analyse([case], rules=[RULES["monai"]], protocol=protocol)

    x, y = case.reference.voxels / 800.0, case.predictions["cgan"][0].voxels / 800.0
    mse = np.mean((y.astype(float) - x) ** 2)
    mean = found.summary["monai"]["measures"]["psnr"]["mean"]
    np.testing.assert_allclose(mean, -10 * np.log10(mse), rtol=1e-6)


def test_means_are_over_people_and_not_over_scans(make_case):
    cases = [make_case(name, name[0], seed=n) for n, name in enumerate(["p1", "p2", "q1"])]

    found, _ = analyse(cases, rules=[RULES["own-maximum"]], protocol=Protocol())

    first, second, other = (expected_of(case, "own-maximum", is_ct=False)["psnr"] for case in cases)
    one = found.summary["own-maximum"]["measures"]["psnr"]
    np.testing.assert_allclose(one["mean"], ((first + second) / 2 + other) / 2, rtol=1e-9)
    assert one["n"] == 2
    assert len(one["interval"]) == 2
    assert found.section.tables[0].rows[1][-1] == "2"


def test_the_protocol_of_the_main_tables_stands_first(make_case):
    found, board = analyse(
        [make_case("a", "p", seed=1)], rules=[RULES["monai"]], protocol=Protocol()
    )

    name, fingerprint, psnr, *_ = found.section.tables[0].rows[0]
    assert (name, fingerprint) == ("medtranslate", Protocol().fingerprint)
    assert psnr == f"{board.summary('cgan', 'psnr').mean:.2f}"
    assert (
        found.summary["medtranslate"]["measures"]["mae"] == board.summary("cgan", "mae").to_json()
    )


def test_every_value_has_the_hash_of_its_rule_beside_it(make_case):
    rules = [RULES["ganslate"], RULES["monai"]]
    found, _ = analyse([make_case("a", "p", seed=1)], rules=rules, protocol=Protocol())

    hashes = {"medtranslate": Protocol().fingerprint} | {r.name: r.fingerprint for r in rules}
    table = pd.read_csv(io.StringIO(found.files["rules.csv"]))
    assert list(table.columns) == ["case", "rule", "hash", "measure", "value"]
    assert dict(zip(table["rule"], table["hash"], strict=True)) == hashes
    assert {name: one["hash"] for name, one in found.summary.items()} == hashes
    assert {row[0]: row[1] for row in found.section.tables[0].rows} == hashes
    definitions = json.loads(found.files["rules.json"])
    assert definitions["monai"]["hash"] == hashes["monai"]
    assert definitions["monai"]["numbers"]["ssim"]["sigma"] == 1.5
    assert {row[0]: row[1] for row in found.section.tables[1].rows}.items() <= hashes.items()


def test_a_score_that_the_original_does_not_compute_is_a_dash(make_case):
    found, _ = analyse(
        [make_case("a", "p", seed=1)], rules=[RULES["own-maximum"]], protocol=Protocol()
    )

    assert found.section.tables[0].columns[2:6] == (
        "PSNR (dB)", "SSIM", "MS-SSIM", "MAE (scaled intensity)",
    )  # fmt: skip
    assert found.section.tables[0].rows[1][3:6] == ("–", "–", "–")


def test_the_lead_says_how_far_the_rules_lie_apart(make_case):
    rules = [RULES["ganslate"], RULES["own-maximum"]]
    found, _ = analyse([make_case("a", "p", seed=1)], rules=rules, protocol=Protocol())

    values = [float(row[2]) for row in found.section.tables[0].rows]
    assert f"from {min(values):.2f} to {max(values):.2f} dB" in found.section.lead
    assert "cgan" in found.section.lead


def test_infinite_scores_leave_the_spread_unsaid(make_case):
    case = make_case("a", "p", seed=1)
    case = replace(case, predictions={"cgan": (case.reference, None)})

    found, _ = analyse([case], rules=[RULES["ganslate"]], protocol=Protocol())

    assert "Nothing but the rule" not in found.section.lead
    assert found.section.tables[0].rows[1][2] == "∞"
    assert found.summary["ganslate"]["measures"]["psnr"]["mean"] == "inf"


def test_rules_for_other_scans_are_named_and_left_out(make_case):
    rules = [RULES["synthrad2023"], RULES["monai"]]
    found, _ = analyse([make_case("a", "p", seed=1)], rules=rules, protocol=Protocol())

    (note,) = found.section.notes
    assert note.startswith("synthrad2023 (")
    assert "defined for CT only and these scans are MR" in note
    assert set(found.summary) == {"medtranslate", "monai"}
    assert set(json.loads(found.files["rules.json"])) == {"monai"}


def test_a_volume_too_thin_for_a_window_is_named(make_case):
    case = make_case("thin", "p", seed=1, shape=(22, 9, 19))

    found, _ = analyse([case], rules=[RULES["monai"]], protocol=Protocol())

    assert found.section.notes == ("monai: no ssim of thin; volume or mask is too small for it.",)
    assert list(found.summary["monai"]["measures"]) == ["psnr"]


def test_the_page_and_the_files_hold_the_rules(make_case, tmp_path):
    cases = [make_case(name, name, seed=n) for n, name in enumerate(["p", "q"])]

    summary = evaluate_cases(
        cases,
        protocol=Protocol(interval_resamples=300),
        out=tmp_path,
        analyses=[RulesAnalysis([RULES["monai"], RULES["brasyn"]])],
    )

    page = (tmp_path / "report.html").read_text()
    assert "One result, many rules" in page
    assert RULES["monai"].fingerprint in page
    assert len(pd.read_csv(tmp_path / "rules.csv")) == 2 * (3 + 2 + 2)
    assert (tmp_path / "rules.json").is_file()
    assert json.loads((tmp_path / "summary.json").read_text())["rules"] == summary["rules"]
