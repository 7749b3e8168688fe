"""Held-out people scored beside the baselines; people of the training refused."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from medtranslate.checkpoint import load_model, save_model
from medtranslate.cli.output import ExitCode
from medtranslate.cli.summaries import show_validation
from medtranslate.data.cases import find_cases
from medtranslate.data.index import index_datasets
from medtranslate.errors import CheckpointError, ConfigError, DatasetError
from medtranslate.io import read_volume
from medtranslate.metrics.rules import RULES
from medtranslate.provenance import hash_volume
from medtranslate.workflows.prediction import load_translator
from medtranslate.workflows.train import INPUTS_KEY
from medtranslate.workflows.validate import score_cases, validate
from medtranslate.workflows.validation_choices import ValidationChoices

BASELINES = ["copy of the source", "histogram match", "lookup map", "rank map"]


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def validated(trained, cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("validation")
    return validate(trained, [cohort], out), out


def test_only_the_held_out_people_are_scored(validated):
    result, out = validated

    assert result.scored == ("toy/04", "toy/05")
    assert result.refused == ("toy/01", "toy/02", "toy/03")
    assert sorted({row["case"] for row in rows_of(out / "slices.csv")}) == ["toy_04", "toy_05"]
    assert any("toy/01, toy/02, toy/03" in note for note in result.summary["notes"])


def test_the_baselines_are_scored_on_the_same_slices(validated):
    _, out = validated
    model = rows_of(out / "slices.csv")
    baselines = rows_of(out / "baselines_slices.csv")

    for name in BASELINES:
        of_name = [row for row in baselines if row["model"] == name]
        assert [(r["case"], r["slice"], r["mask_voxels"], r["scored"]) for r in of_name] == [
            (r["case"], r["slice"], r["mask_voxels"], r["scored"]) for r in model
        ]
    assert {row["model"] for row in baselines} == set(BASELINES)


def test_copying_the_source_scores_as_numpy_says(validated, cohort):
    """By hand: each scan divided by its own 99.5th percentile in the mask, PSNR in the mask."""
    _, out = validated
    pair = [
        read_volume(cohort / "sub-04" / "anat" / f"sub-04_{name}.nii.gz").voxels.astype(float)
        for name in ("T1w", "T2w")
    ]
    mask = pair[0] > 0
    source, reference = (scan / np.percentile(scan[mask], 99.5) for scan in pair)
    error = np.mean((source - reference)[mask] ** 2)

    rows = rows_of(out / "baselines_volumes.csv")
    found = next(r for r in rows if r["case"] == "toy_04" and r["model"] == BASELINES[0])

    np.testing.assert_allclose(float(found["psnr_volume"]), -10 * np.log10(error), atol=1e-3)


def test_an_almost_untrained_model_stands_by_the_lookup_map_it_starts_from(validated):
    result, _ = validated
    model = result.summary["metrics"]["psnr"]["mean"]
    baselines = result.summary["baselines"]

    assert abs(model - baselines["lookup map"]["psnr"]["mean"]) < 1.0
    assert model > baselines["copy of the source"]["psnr"]["mean"] + 1.0


def test_the_protocol_takes_scales_from_the_sidecar(validated):
    _, out = validated

    assert json.loads((out / "protocol.json").read_text())["numbers"]["scale"] == "sidecar"
    assert (out / "report.html").stat().st_size > 10_000


def test_the_model_is_scored_by_every_rule_that_its_pipeline_names(validated):
    result, out = validated

    assert set(result.summary["rules"]) == {
        "medtranslate", "ganslate", "own-maximum", "brasyn", "monai",
    }  # fmt: skip
    cases = {row["case"] for row in rows_of(out / "rules.csv") if row["rule"] == "monai"}
    assert cases == {"toy_04", "toy_05"}
    page = (out / "report.html").read_text("utf-8")
    assert RULES["brasyn"].fingerprint in page
    assert "synthrad2023 (" in page, "the report says which rules are not defined for MR"


def test_an_unknown_protocol_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'monai'"):
        validate(
            tmp_path / "absent",
            [tmp_path],
            tmp_path / "out",
            choices=ValidationChoices(protocols=["monay"]),
        )


def test_people_of_another_dataset_are_all_held_out(trained, strangers, tmp_path):
    result = validate(
        trained, [strangers], tmp_path, choices=ValidationChoices(protocols=["monai"])
    )

    assert set(result.summary["rules"]) == {"medtranslate", "monai"}
    assert "--protocol monai --out" in (tmp_path / "report.html").read_text("utf-8")
    assert result.scored == ("other/x1", "other/x2")
    assert result.refused == ()


def test_the_participants_table_reaches_the_subgroups(trained, strangers, tmp_path):
    people = tmp_path / "other"
    shutil.copytree(strangers, people)
    (people / "participants.tsv").write_text(
        "participant_id\tsex\tname\nsub-x1\tF\tAda L.\nsub-x2\tM\tBob\n"
    )

    summary = validate(trained, [people], tmp_path / "out").summary

    groups = {(row["group"], row["n"]) for row in summary["subgroups"]["groups"]}
    assert groups == {("F", 1), ("M", 1)}
    assert "Ada L." not in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_a_dataset_of_nobody_but_the_trained_is_refused_by_name(trained, cohort, tmp_path):
    seen = tmp_path / "toy"
    shutil.copytree(cohort, seen)
    for subject in ("04", "05"):
        shutil.rmtree(seen / f"sub-{subject}")

    with pytest.raises(DatasetError, match="toy/01, toy/02, toy/03"):
        validate(trained, [seen], tmp_path / "out")

    assert not (tmp_path / "out").exists()


def save_with_config(trained, folder, config):
    model = load_model(trained)
    save_model(
        folder / "model",
        weights=model.weights,
        config=config,
        scale=model.scale,
        provenance=model.provenance,
        card="",
    )


def test_a_training_scan_under_another_name_is_refused(trained, cohort, tmp_path):
    scan = read_volume(cohort / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    sha256 = hash_volume(scan.voxels, scan.geometry.affine)
    config = load_model(trained).config | {INPUTS_KEY: {sha256: "toy/01"}}
    save_with_config(trained, tmp_path, config)
    shutil.copytree(cohort / "sub-01", tmp_path / "renamed" / "sub-01")

    with pytest.raises(DatasetError, match="trained on this very scan, as toy/01"):
        validate(tmp_path, [tmp_path / "renamed"], tmp_path / "out")


def test_a_model_without_its_split_cannot_be_validated(trained, strangers, tmp_path):
    config = {key: v for key, v in load_model(trained).config.items() if key != "split"}
    save_with_config(trained, tmp_path, config)

    with pytest.raises(CheckpointError, match="does not say who trained it"):
        validate(tmp_path, [strangers], tmp_path / "out")


@pytest.fixture(scope="module")
def audited(trained, strangers, tmp_path_factory):
    out = tmp_path_factory.mktemp("audit")
    return validate(trained, [strangers], out, choices=ValidationChoices(audit=True)), out


def test_an_audit_degrades_sources_and_puts_lesions_in(audited):
    """Noise and lost slices must cost; a gain must not, for the model divides it away."""
    result, out = audited
    scores = {name: one["scores"] for name, one in result.summary["stress"].items()}

    def psnr(damage, strength):
        return scores[damage][strength]["psnr"]["mean"]

    assert psnr("missing slices", "0.2") < psnr("missing slices", "0") - 1
    assert psnr("noise", "0.1") != psnr("noise", "0")
    np.testing.assert_allclose(psnr("intensity", "4"), psnr("intensity", "1"), rtol=1e-3)
    np.testing.assert_allclose(
        psnr("noise", "0"), result.summary["metrics"]["psnr"]["mean"], rtol=1e-6
    )
    assert 0 <= result.summary["lesions"]["inserted: shown"]["mean"] <= 1
    assert {"stress.csv", "lesions.csv"} <= {path.name for path in out.iterdir()}
    assert "--audit" in (out / "report.html").read_text("utf-8")


def test_people_seen_in_training_are_scored_on_demand_and_mark_every_page(
    trained, cohort, tmp_path
):
    choices = ValidationChoices(even_though_seen=True, checklist="claim")

    result = validate(trained, [cohort], tmp_path, choices=choices)

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    seen = {"toy/01", "toy/02", "toy/03"}
    assert seen <= set(result.scored)
    assert result.refused == ()
    assert 'class="seen"' in page
    assert all(f"{one}" in page.partition('class="seen"')[2][:200] for one in sorted(seen))
    assert "the model never saw" not in page
    assert "--even-though-seen-in-training --checklist claim" in page
    assert "CLAIM 2024 checklist" in page


def test_held_out_people_alone_mark_no_page(validated):
    _, out = validated

    assert 'class="seen"' not in (out / "report.html").read_text(encoding="utf-8")


def test_without_an_audit_there_is_only_what_costs_little(validated):
    result, _ = validated

    assert {"alignment", "familiarity"} <= set(result.summary)
    assert not {"stress", "lesions"} & set(result.summary)
    np.testing.assert_allclose(
        result.summary["alignment"]["model"]["0 mm"]["ssim"]["mean"],
        result.summary["metrics"]["ssim"]["mean"],
        rtol=1e-6,
    )


def test_the_pipeline_may_ask_for_the_audit(trained, cohort, make_pipeline, tmp_path):
    pipeline = make_pipeline(evaluation={"audit": True, "protocols": []})
    translator = replace(load_translator(trained), pipeline=pipeline)
    cases = find_cases(index_datasets([cohort]), source="T1w", target="T2w")

    result = score_cases(translator, [c for c in cases if c.subject == "toy/05"], tmp_path)

    assert "stress" in result.summary


def break_target(cohort, folder, *people):
    """A copy of the dataset in which the real scans of some are none."""
    dataset = folder / "toy"
    shutil.copytree(cohort, dataset)
    for person in people:
        (dataset / person / "anat" / f"{person}_T2w.nii.gz").write_bytes(b"no scan")
    return dataset


def test_who_cannot_be_scored_is_told_and_costs_nobody_else_his_scores(
    validated, trained, cohort, tmp_path
):
    dataset = break_target(cohort, tmp_path, "sub-04")

    result = validate(trained, [dataset], tmp_path / "out")

    everybody = rows_of(validated[1] / "volumes.csv")
    assert rows_of(tmp_path / "out" / "volumes.csv") == everybody[1:]
    assert result.scored == ("toy/05",)
    [(name, why)] = result.unscored
    assert name == "toy_04"
    assert "sub-04" not in why
    shown = show_validation(result)
    assert shown.code is ExitCode.PARTLY
    assert "Not scored" in str(shown.shown[0].title)
    report = (tmp_path / "out" / "report.html").read_text()
    assert "Not scored: toy_04 (" in report
    assert str(tmp_path) not in report


def test_where_nobody_can_be_scored_each_reason_is_told(trained, cohort, tmp_path):
    dataset = break_target(cohort, tmp_path, "sub-04", "sub-05")

    with pytest.raises(DatasetError, match=r"no case to score\n  toy_04 \(.*\n  toy_05 \("):
        validate(trained, [dataset], tmp_path / "out")

    assert not (tmp_path / "out" / "summary.json").exists()
