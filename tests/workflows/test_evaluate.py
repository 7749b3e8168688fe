"""Scoring from memory and from files, end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from medtranslate.errors import DatasetError, GeometryError, MedTranslateError
from medtranslate.geometry import Geometry
from medtranslate.io import write_volume
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoring import score_case
from medtranslate.report.browser import make_browser
from medtranslate.report.details import EvaluationDetails
from medtranslate.volume import IntensityScale, Volume
from medtranslate.workflows import case_pictures
from medtranslate.workflows.evaluate import (
    COPY_BASELINE,
    evaluate_cases,
    evaluate_paths,
)
from medtranslate.workflows.foreground import find_foreground
from medtranslate.workflows.scored_case import ScoredCase, UnscoredCase

from ..io.dicom.conftest import truth, write_series  # noqa: F401

QUICK = Protocol(interval_resamples=300)
FILES = {"slices.csv", "volumes.csv", "summary.json", "protocol.json", "report.html"}


def make_reference(make_volume, *, seed=0, shape=(24, 22, 14)):
    volume = make_volume(shape, orientation="LPS", modality="T2w")
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.0)
    voxels = np.where(volume.voxels > 0, volume.voxels + 150 * texture + 300, 0)
    return replace(volume, array=voxels[None].astype(np.float32))


def changed(volume, *, gain=0.9, blur=0.8):
    blurred = gain * ndimage.gaussian_filter(volume.voxels, blur)
    return replace(volume, array=blurred[None].astype(np.float32))


@pytest.fixture
def make_cases(make_volume):
    """Function that yields cases with a model and two baselines."""

    def make(count):
        for number in range(count):
            reference = make_reference(make_volume, seed=number)
            yield ScoredCase(
                name=f"cohort_{number:02d}",
                subject=f"cohort/{number:02d}",
                reference=reference,
                predictions={
                    "cgan": (changed(reference, gain=0.95 + 0.01 * number), None),
                    "lookup map": (changed(reference, blur=2.0), None),
                    COPY_BASELINE: (changed(reference, gain=-0.3), None),
                },
                mask=reference.voxels > 0,
                source=changed(reference, gain=-0.3),
                context={"sex": "F"},
            )

    return make


def test_cases_become_tables_a_summary_and_a_report(tmp_path, make_cases):
    summary = evaluate_cases(
        make_cases(3),
        protocol=QUICK,
        out=tmp_path,
        details=EvaluationDetails(title="Three people", held_out=True),
    )

    assert {path.name for path in tmp_path.iterdir()} == FILES | {
        "baselines_slices.csv",
        "baselines_volumes.csv",
    }
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["n"] == 3
    assert summary["best_baseline"]["psnr"] == "lookup map"
    assert summary["differences"]["lookup map"]["psnr"]["better_for"] == 3
    page = (tmp_path / "report.html").read_text()
    assert "Three people" in page
    assert summary["headline"].split(",")[0] in page
    volumes = pd.read_csv(tmp_path / "volumes.csv")
    assert summary["metrics"]["ssim"]["mean"] == pytest.approx(volumes["ssim"].mean())


def test_model_and_baselines_are_scored_on_the_same_slices(tmp_path, make_cases):
    evaluate_cases(make_cases(2), protocol=QUICK, out=tmp_path)

    keys = ["case", "slice", "mask_voxels", "scored"]
    model = pd.read_csv(tmp_path / "slices.csv")[keys]
    for _, rows in pd.read_csv(tmp_path / "baselines_slices.csv").groupby("model"):
        pd.testing.assert_frame_equal(rows[keys].reset_index(drop=True), model)


def test_scores_are_those_of_score_case(tmp_path, make_cases):
    evaluate_cases(make_cases(1), protocol=QUICK, out=tmp_path)

    (case,) = make_cases(1)
    expected = score_case(
        case.reference, case.predictions["cgan"][0], case.mask, protocol=QUICK
    ).values
    found = pd.read_csv(tmp_path / "volumes.csv").iloc[0]
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_the_browser_shows_the_standard_deviation_in_scored_units(tmp_path, make_cases):
    (case,) = make_cases(1)
    sd = 40.0 * (case.reference.voxels > 0)
    predictions = {"cgan": (case.predictions["cgan"][0], IntensityScale(0.0, 400.0))}
    shown = []

    def note(pictures, window, **names):
        shown.extend(pictures)
        return make_browser(pictures, window, **names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(case_pictures, "make_browser", note)
        evaluate_cases(
            [replace(case, predictions=predictions, sd=sd)],
            protocol=QUICK.model_copy(update={"scale": "sidecar"}),
            out=tmp_path,
        )

    assert shown
    assert [one.sd[one.mask].max() for one in shown] == pytest.approx([0.1] * len(shown))
    assert "Standard deviation, 0 to 0.2" in (tmp_path / "report.html").read_text()


def test_cases_are_taken_one_at_a_time(tmp_path, make_cases):
    alive = []

    def one_by_one():
        for case in make_cases(3):
            alive.append(case.name)
            yield case

    evaluate_cases(one_by_one(), protocol=QUICK, out=tmp_path)

    assert alive == ["cohort_00", "cohort_01", "cohort_02"]


def test_the_protocol_file_holds_numbers_words_and_fingerprint(tmp_path, make_cases):
    evaluate_cases(make_cases(1), protocol=QUICK, out=tmp_path)

    found = json.loads((tmp_path / "protocol.json").read_text())

    assert found["hash"] == QUICK.fingerprint
    assert found["numbers"]["min_mask_fraction"] == 0.01
    assert "scikit-image" in found["software"]
    assert Protocol.model_validate_json(json.dumps(found["numbers"])) == QUICK


def break_grid(case):
    moved = case.reference.geometry.affine.copy()
    moved[0, 3] += 1.0
    elsewhere = Volume(case.reference.array, Geometry(case.reference.geometry.shape, moved))
    return replace(case, predictions=dict(case.predictions) | {"cgan": (elsewhere, None)})


def test_cases_that_cannot_be_measured_may_be_left_out_and_told(tmp_path, make_cases):
    good, bad, _ = make_cases(3)
    unread = UnscoredCase("cohort_02", "is no scan")

    summary = evaluate_cases(
        [break_grid(bad), unread, good], protocol=QUICK, out=tmp_path, all_or_none=False
    )

    assert [row["case"] for row in summary["per_case"]] == ["cohort_00"]
    assert [one["case"] for one in summary["unscored"]] == ["cohort_01", "cohort_02"]
    assert "different grids" in summary["unscored"][0]["why"]
    assert "Not scored: cohort_02 (is no scan)." in summary["notes"]
    assert json.loads((tmp_path / "summary.json").read_text())["unscored"] == summary["unscored"]


def test_a_case_that_cannot_be_scored_is_named_and_nothing_is_written(tmp_path, make_cases):
    good, bad = make_cases(2)
    broken = break_grid(bad)

    with pytest.raises(GeometryError, match=r"cohort_01: .*different grids.*1\.00 mm"):
        evaluate_cases([good, broken], protocol=QUICK, out=tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_ct_and_mr_are_not_averaged_together(tmp_path, make_cases):
    mr, other = make_cases(2)
    ct = replace(other, reference=replace(other.reference, unit="HU"))

    with pytest.raises(DatasetError, match="cohort_01 is CT in HU and cohort_00 is not"):
        evaluate_cases([mr, ct], protocol=QUICK, out=tmp_path)


def test_no_case_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no case"):
        evaluate_cases([], protocol=QUICK, out=tmp_path)


@pytest.fixture
def folders(tmp_path, make_volume):
    """Two people on disk: real, predicted with sidecars, masks and sources."""
    for number, subject in enumerate(("01", "02")):
        reference = make_reference(make_volume, seed=number)
        mask = replace(reference, array=(reference.array > 0).astype(np.uint8), unit="label")
        scale = IntensityScale(0.0, 500.0 + number).to_json()
        for name, volume, sidecar in (
            (f"real/sub-{subject}_T2w.nii.gz", reference, None),
            (
                f"made/sub-{subject}_desc-synthetic_T2w.nii.gz",
                changed(reference),
                {"IntensityScale": scale},
            ),
            (f"masks/sub-{subject}_desc-brain_mask.nii.gz", mask, None),
            (f"sources/sub-{subject}_T1w.nii.gz", changed(reference, gain=0.4), None),
        ):
            write_volume(tmp_path / name, volume, sidecar=sidecar)
    return tmp_path


def test_folders_are_paired_scored_and_compared_with_the_source(folders):
    summary = evaluate_paths(
        folders / "real",
        folders / "made",
        mask=folders / "masks",
        source=folders / "sources",
        protocol=QUICK,
        out=folders / "out",
    )

    assert [case["case"] for case in summary["per_case"]] == ["sub-01", "sub-02"]
    assert list(summary["baselines"]) == [COPY_BASELINE]
    assert summary["unpaired"] == []
    assert {path.name for path in (folders / "out").iterdir()} >= FILES


def test_files_without_a_partner_are_told_in_summary_and_report(folders):
    (folders / "made" / "sub-02_desc-synthetic_T2w.nii.gz").unlink()

    summary = evaluate_paths(
        folders / "real", folders / "made", protocol=QUICK, out=folders / "out"
    )

    assert summary["unpaired"] == ["sub-02_T2w.nii.gz"]
    assert "sub-02_T2w.nii.gz" in (folders / "out" / "report.html").read_text()


def test_scale_sidecar_takes_what_the_sidecar_records(folders):
    real, made = (
        folders / "real" / "sub-02_T2w.nii.gz",
        folders / "made" / "sub-02_desc-synthetic_T2w.nii.gz",
    )
    factor = 501.0

    summary = evaluate_paths(real, made, protocol=Protocol(scale="sidecar"), out=folders / "out")

    import nibabel

    x, y = (nibabel.load(path).get_fdata() for path in (real, made))
    mask = x != 0
    error = (y / factor - x / np.percentile(x[mask], 99.5))[mask]
    assert summary["metrics"]["me_volume"]["mean"] == pytest.approx(error.mean(), abs=1e-6)


@pytest.mark.parametrize("damage", ["absent", "not json", "no scale"])
def test_scale_sidecar_without_a_usable_sidecar_says_what_to_do(folders, damage):
    sidecar = folders / "made" / "sub-01_desc-synthetic_T2w.json"
    if damage == "absent":
        sidecar.unlink()
    else:
        sidecar.write_text("{" if damage == "not json" else "{}")

    with pytest.raises(DatasetError, match=r"sub-01_desc-synthetic_T2w\.json.*--scale shared"):
        evaluate_paths(
            folders / "real",
            folders / "made",
            protocol=Protocol(scale="sidecar"),
            out=folders / "out",
        )


def test_a_perfect_prediction_is_infinite_and_said_to_be(folders):
    real = folders / "real" / "sub-01_T2w.nii.gz"

    summary = evaluate_paths(real, real, protocol=QUICK, out=folders / "out")

    assert summary["metrics"]["psnr"]["mean"] == "inf"
    assert summary["metrics"]["ssim"]["mean"] == pytest.approx(1.0)
    assert any("equal the reference exactly" in note for note in summary["notes"])
    rows = pd.read_csv(folders / "out" / "slices.csv")
    assert np.isinf(rows.loc[rows["scored"], "psnr"]).all()
    assert "∞" in (folders / "out" / "report.html").read_text()


def test_one_person_is_said_to_be_one_person(folders):
    real, made = (
        folders / "real" / "sub-01_T2w.nii.gz",
        folders / "made" / "sub-01_desc-synthetic_T2w.nii.gz",
    )

    summary = evaluate_paths(real, made, protocol=QUICK, out=folders / "out")

    assert summary["metrics"]["psnr"]["interval"] is None
    assert any("there is no interval" in note for note in summary["notes"])


@pytest.mark.parametrize("swapped", [False, True])
def test_a_synthetic_reference_is_doubted(folders, swapped):
    real = folders / "real" / "sub-01_T2w.nii.gz"
    made = folders / "made" / "sub-01_desc-synthetic_T2w.nii.gz"
    mark = {"Synthetic": True, "GeneratedBy": [{"Name": "medtranslate"}]}
    (made.parent / "sub-01_desc-synthetic_T2w.json").write_text(json.dumps(mark))
    given = (made, real) if swapped else (real, made)

    summary = evaluate_paths(*given, protocol=QUICK, out=folders / "out")

    assert any("swapped" in note for note in summary["notes"]) == swapped


def test_names_of_different_people_are_doubted(folders):
    summary = evaluate_paths(
        folders / "real" / "sub-01_T2w.nii.gz",
        folders / "made" / "sub-02_desc-synthetic_T2w.nii.gz",
        mask=folders / "masks" / "sub-01_desc-brain_mask.nii.gz",
        protocol=QUICK,
        out=folders / "out",
    )

    assert any("different people" in note for note in summary["notes"])


@pytest.mark.parametrize("what", ["empty mask", "mask on another grid", "constant", "other grid"])
def test_bad_input_is_refused_before_anything_is_written(folders, make_volume, what):
    real, made = folders / "real" / "sub-01_T2w.nii.gz", folders / "made"
    mask = folders / "masks" / "sub-01_desc-brain_mask.nii.gz"
    reference = make_reference(make_volume)
    if what == "empty mask":
        write_volume(mask, replace(reference, array=np.zeros_like(reference.array)), dtype="uint8")
    if what == "mask on another grid":
        small = make_volume((9, 9, 9))
        write_volume(mask, replace(small, array=(small.array > 0).astype(np.uint8), unit="label"))
    if what == "constant":
        write_volume(real, replace(reference, array=np.full_like(reference.array, 0.0)))
    if what == "other grid":
        write_volume(real, make_volume((24, 22, 13), modality="T2w"))

    with pytest.raises(MedTranslateError):
        evaluate_paths(
            real,
            made / "sub-01_desc-synthetic_T2w.nii.gz",
            mask=mask,
            protocol=QUICK,
            out=folders / "out",
        )

    assert not (folders / "out").exists()


def test_the_foreground_of_a_stripped_scan_is_what_is_not_zero(make_volume):
    reference = make_reference(make_volume)
    negative = reference.voxels.copy()
    negative[12, 11, 7] = -4.0

    found = find_foreground(replace(reference, array=negative[None]))

    np.testing.assert_array_equal(found, reference.voxels != 0)


@pytest.mark.parametrize("direction", ["RAS", "SLP", "ASR"])
def test_the_foreground_of_a_noisy_scan_is_the_head(make_volume, direction):
    reference = make_volume((30, 28, 26), orientation=direction, spacing=(2.0, 2.0, 2.0))
    noise = np.abs(np.random.default_rng(5).normal(0, 12, reference.voxels.shape))
    noisy = np.rint(np.where(reference.voxels > 0, 500 + 0.3 * reference.voxels, noise))

    found = find_foreground(replace(reference, array=noisy[None].astype(np.float32)))

    inside = reference.voxels > 0
    assert np.count_nonzero(found & inside) > 0.95 * np.count_nonzero(inside)
    assert np.count_nonzero(found & ~inside) < 0.25 * np.count_nonzero(inside)


def test_scoring_imports_no_deep_learning_library():
    code = (
        "import sys, medtranslate.workflows.evaluate;"
        "print({'torch', 'monai', 'SimpleITK'} & set(sys.modules))"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "set()"


def test_a_dicom_reference_is_scored_in_its_own_unit(tmp_path, write_series, make_volume):
    from medtranslate.io import read_volume

    volume = make_volume((24, 22, 12))
    series = write_series(volume=volume)
    made = read_volume(series)
    path = tmp_path / "made.nii.gz"
    write_volume(path, Volume(made.array + 40 * (made.array > 0), made.geometry))

    summary = evaluate_paths(series, path, out=tmp_path / "out", protocol=Protocol())

    # Off by 40 HU where it is not 0, which is inside; the foreground's rim holds a few zeros.
    assert summary["metrics"]["mae"]["mean"] == pytest.approx(40, abs=4)
