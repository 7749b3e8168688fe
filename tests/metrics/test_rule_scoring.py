"""Scores under other people's rules: against their own programs, and written out again here."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.metrics import PSNRMetric, SSIMMetric
from scipy import ndimage
from skimage.metrics import structural_similarity

from medtranslate.metrics.rule_scoring import mean_ssim, score_by_rule
from medtranslate.metrics.rules import RULES, SsimRule

SAMPLE = Path(__file__).parents[2] / "sample_data" / "sub-phantom02"
ORACLE_PAIRS = [
    ("omsC07", "T2w"),
    ("omsC26", "FLAIR"),
    pytest.param("omsC07", "FLAIR", marks=pytest.mark.slow),
    pytest.param("omsC26", "T2w", marks=pytest.mark.slow),
]
UNIFORM = SsimRule(window="uniform", size=7, covariance="sample", dimensions=3)


def decibels(reference, prediction, data_range):
    return 10 * np.log10(data_range**2 / np.mean((prediction - reference) ** 2))


@pytest.fixture(scope="module")
def mr():
    """T2w of the sample data, axial slices first and peak at 1, and a blurred, darker copy."""
    voxels = nibabel.load(SAMPLE / "anat" / "sub-phantom02_T2w.nii.gz").get_fdata()
    mask = ndimage.binary_opening(voxels > 30, iterations=2)
    reference = np.moveaxis(voxels / np.percentile(voxels[mask], 99.5), 2, 0)
    prediction = 0.93 * ndimage.gaussian_filter(reference, (1.1, 0.7, 0.5)) + 0.02
    return reference, prediction, np.moveaxis(mask, 2, 0)


@pytest.fixture(scope="module")
def ct():
    """CT of the sample data with a very dense implant, and a blurred, brighter copy."""
    voxels = nibabel.load(SAMPLE / "ct" / "sub-phantom02_ct.nii.gz").get_fdata()
    voxels[40:44, 50:53, 30:34] = 3600.0
    mask = ndimage.binary_opening(voxels > -400, iterations=2)
    reference = np.moveaxis(voxels, 2, 0)
    prediction = ndimage.gaussian_filter(reference, (0.8, 0.5, 0.9)) + 25
    return reference, prediction, np.moveaxis(mask, 2, 0)


def test_synthrad2023_is_a_masked_uniform_window_in_3d(ct) -> None:
    reference, prediction, mask = ct
    found = score_by_rule(RULES["synthrad2023"], *ct, is_ct=True)

    x, y = (np.clip(np.where(mask, image, -1024), -1024, 3000) + 1024 for image in ct[:2])
    _, similarity = structural_similarity(x, y, win_size=7, data_range=4024, full=True)
    core = (slice(3, -3),) * 3
    assert found == pytest.approx(
        {
            "psnr": decibels(x[mask], y[mask], 4024),
            "ssim": similarity[core][mask[core]].mean(),
            "mae": np.abs(prediction - reference)[mask].mean(),
        },
        rel=1e-9,
    )
    assert list(found) == ["psnr", "ssim", "mae"]


def test_synthrad2025_and_its_published_code_differ_by_the_range(ct) -> None:
    reference, prediction, mask = ct
    found = {
        name: score_by_rule(RULES[name], *ct, is_ct=True)
        for name in ("synthrad2025", "synthrad2025-published-code")
    }

    for name, top in (("synthrad2025", 3071), ("synthrad2025-published-code", 3000)):
        x, y = (np.clip(image[mask], -1024, top) for image in (reference, prediction))
        np.testing.assert_allclose(found[name]["psnr"], decibels(x, y, top + 1024), rtol=1e-9)
        error = np.abs(prediction - reference)[mask].mean()
        np.testing.assert_allclose(found[name]["mae"], error, rtol=1e-9)
    one, other = (found[name]["ms_ssim"] for name in found)
    assert 0 < abs(one - other) < 0.01


def test_ganslate_averages_every_slice_at_the_reference_s_maximum(mr) -> None:
    reference, prediction, _ = mr
    found = score_by_rule(RULES["ganslate"], *mr, is_ct=False)

    top = reference.max()
    slices = [
        structural_similarity(x, y, data_range=top)
        for x, y in zip(reference, prediction, strict=True)
    ]
    assert found == pytest.approx(
        {
            "psnr": decibels(reference, prediction, top),
            "ssim": np.mean(slices),
            "mae": np.abs(prediction - reference).mean(),
        },
        rel=1e-9,
    )


def test_ganslate_takes_ct_in_hu_as_stored(ct) -> None:
    reference, prediction, _ = ct
    found = score_by_rule(RULES["ganslate"], *ct, is_ct=True)

    top = reference.max()
    ssim = np.mean(
        [structural_similarity(*pair, data_range=top) for pair in zip(*ct[:2], strict=True)]
    )
    np.testing.assert_allclose(found["psnr"], decibels(reference, prediction, top), rtol=1e-9)
    np.testing.assert_allclose(found["ssim"], ssim, rtol=1e-9)


@pytest.mark.parametrize("scans", ["mr", "ct"])
def test_own_maximum_hides_the_level_of_every_slice(request, scans) -> None:
    reference, prediction, mask = request.getfixturevalue(scans)
    is_ct = scans == "ct"
    found = score_by_rule(RULES["own-maximum"], reference, prediction, mask, is_ct=is_ct)

    x, y = reference, prediction
    if is_ct:
        x, y = (np.clip(image, -1024, 3071) + 1024 for image in (x, y))
    kept = [k for k in range(len(mask)) if mask[k].mean() >= 0.01]
    values = [decibels(x[k] / x[k].max(), y[k] / y[k].max(), 1.0) for k in kept]
    assert 0 < len(kept) < len(mask)
    assert found == pytest.approx({"psnr": np.mean(values)}, rel=1e-9)


def test_own_maximum_leaves_out_slices_that_have_none(mr) -> None:
    reference, prediction, mask = (image.copy() for image in mr)
    full = [k for k in range(len(mask)) if mask[k].mean() >= 0.01]
    without = np.delete(np.arange(len(mask)), full[3])
    expected = score_by_rule(
        RULES["own-maximum"], reference[without], prediction[without], mask[without], is_ct=False
    )
    prediction[full[3]] = 0.0

    found = score_by_rule(RULES["own-maximum"], reference, prediction, mask, is_ct=False)

    assert found == pytest.approx(expected, rel=1e-12)
    nothing = score_by_rule(RULES["own-maximum"], reference, 0 * prediction, mask, is_ct=False)
    assert nothing == {}


def monai_scores(reference, prediction):
    tensors = [torch.from_numpy(image)[None, None].float() for image in (prediction, reference)]
    psnr = PSNRMetric(max_val=1.0)(*tensors)
    ssim = SSIMMetric(spatial_dims=3)(*tensors)
    return {"psnr": float(psnr), "ssim": float(ssim)}


def test_brasyn_stretches_each_image_by_its_own_percentiles(mr) -> None:
    """A few voxels far below the rest are cut off at the lower percentile, as bright ones above."""
    reference, prediction, mask = (image.copy() for image in mr)
    reference[0, :20, :15] = -0.6
    prediction[1, :20, :15] = -0.4
    found = score_by_rule(RULES["brasyn"], reference, prediction, mask, is_ct=False)

    stretched = []
    for image in (reference, prediction):
        low, high = np.quantile(image, [0.001, 0.999])
        assert image.min() < low - 0.3
        stretched.append((np.clip(image, low, high) - low) / (high - low))
    assert found == pytest.approx(monai_scores(*stretched), rel=1e-4)
    np.testing.assert_allclose(found["psnr"], decibels(*stretched, 1.0), rtol=1e-9)


def test_brasyn_scores_a_constant_prediction(mr) -> None:
    reference, _, mask = mr
    found = score_by_rule(RULES["brasyn"], reference, np.full_like(reference, 7), mask, is_ct=False)

    low, high = np.quantile(reference, [0.001, 0.999])
    stretched = (np.clip(reference, low, high) - low) / (high - low)
    np.testing.assert_allclose(found["psnr"], decibels(stretched, 0.0, 1.0), rtol=1e-9)


@pytest.mark.parametrize("scans", ["mr", "ct"])
def test_monai_agrees_with_monai(request, scans) -> None:
    reference, prediction, mask = request.getfixturevalue(scans)
    is_ct = scans == "ct"
    found = score_by_rule(RULES["monai"], reference, prediction, mask, is_ct=is_ct)

    x, y = reference, prediction
    if is_ct:
        x, y = ((np.clip(image, -1024, 3071) + 1024) / 4095 for image in (x, y))
    assert found == pytest.approx(monai_scores(x, y), rel=1e-4)
    ssim = structural_similarity(
        x, y, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    np.testing.assert_allclose(found["ssim"], ssim, rtol=1e-9)


@pytest.mark.parametrize("name", ["ganslate", "brasyn", "monai"])
def test_the_mask_does_not_move_rules_of_the_whole_volume(mr, name) -> None:
    reference, prediction, mask = mr
    smaller = np.zeros_like(mask)
    smaller[40:44, 50:60, 40:50] = True

    expected = score_by_rule(RULES[name], reference, prediction, mask, is_ct=False)

    assert score_by_rule(RULES[name], reference, prediction, smaller, is_ct=False) == expected


@pytest.mark.parametrize("name", [n for n, rule in RULES.items() if rule.applies_to(is_ct=True)])
def test_a_prediction_equal_to_the_reference_is_perfect(ct, name) -> None:
    reference, _, mask = ct

    found = score_by_rule(RULES[name], reference, reference, mask, is_ct=True)

    assert found.pop("psnr") == np.inf
    assert found.pop("mae", 0.0) == 0.0
    assert list(found.values()) == pytest.approx([1.0] * len(found), abs=1e-12)


def test_whole_numbers_are_scored_as_the_floats_they_stand_for(ct) -> None:
    reference, prediction, mask = ct
    whole = [np.rint(image).astype(np.int16) for image in (reference, prediction)]

    found = score_by_rule(RULES["synthrad2023"], *whole, mask, is_ct=True)

    floats = [image.astype(float) for image in whole]
    assert found == score_by_rule(RULES["synthrad2023"], *floats, mask, is_ct=True)


def test_a_volume_thinner_than_the_window_has_no_ssim(ct) -> None:
    thin = [image[30:36] for image in ct]

    found = score_by_rule(RULES["synthrad2023"], *thin, is_ct=True)

    assert list(found) == ["psnr", "mae"]


@pytest.mark.parametrize(
    ("name", "is_ct", "message"),
    [("synthrad2025", False, "defined for CT only"), ("brasyn", True, "defined for MR only")],
)
def test_a_rule_refuses_scans_it_is_not_defined_for(mr, name, is_ct, message) -> None:
    with pytest.raises(ValueError, match=message):
        score_by_rule(RULES[name], *mr, is_ct=is_ct)


def test_arrays_that_do_not_fit_are_refused(mr) -> None:
    reference, prediction, mask = mr

    with pytest.raises(ValueError, match="shapes differ"):
        score_by_rule(RULES["monai"], reference, prediction[1:], mask, is_ct=False)
    with pytest.raises(ValueError, match="mask is empty"):
        score_by_rule(RULES["monai"], reference, prediction, np.zeros_like(mask), is_ct=False)


def test_equal_places_are_not_worked_through_and_still_count_as_one(mr) -> None:
    reference, prediction, _ = mr
    mixed = reference.copy()
    mixed[20:37, 30:41, 25:39] = prediction[20:37, 30:41, 25:39]

    found = mean_ssim(
        reference, mixed, np.ones(reference.shape, bool), data_range=1.0, ssim=UNIFORM
    )

    expected = structural_similarity(reference, mixed, win_size=7, data_range=1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found < 0.9999


@pytest.mark.parametrize(("subject", "contrast"), ORACLE_PAIRS)
def test_scores_agree_with_the_original_programs_on_real_scans(
    shared_data, subject, contrast
) -> None:
    """What the originals print, and the recipe of each pair, stand in the oracle's own file."""
    path = shared_data.parent / "oracles" / "scoring_protocols.json"
    if not path.is_file():
        pytest.skip("the file of reference scores (../shared/oracles) is absent")
    results = json.loads(path.read_text())["results"]
    printed = next(
        one for one in results if (one["subject"], one["contrast"]) == (subject, contrast)
    )
    name = f"sub-{subject}_space-MNI_desc-brain_{contrast}.nii.gz"
    x = nibabel.load(shared_data / "open_ms_cross" / f"sub-{subject}" / "anat" / name).get_fdata()
    mask = x > 0
    r = np.where(mask, x / np.percentile(x[mask], 99.5), 0)
    p = np.where(mask, 0.9 * ndimage.gaussian_filter(r, 1.0), 0)
    rh = np.where(mask, np.clip(-1000 + 2500 * r, -1024, 3071), -1024)
    ph = np.where(mask, ndimage.gaussian_filter(rh, 1.2) + 15, -1024)

    def score(name, *pair):
        sliced = [np.moveaxis(image, 2, 0) for image in (*pair, mask)]
        return score_by_rule(RULES[name], *sliced, is_ct=pair[0] is rh)

    ganslate = printed["ganslate_unmasked"]
    assert score("ganslate", r, p) == pytest.approx(
        {key: ganslate[key] for key in ("psnr", "ssim", "mae")}, rel=1e-6
    )
    for name, key in (
        ("synthrad2023", "synthrad2023"),
        ("synthrad2025", "synthrad2025_range_3071"),
        ("synthrad2025-published-code", "synthrad2025_published_code_range_3000"),
    ):
        assert score(name, rh, ph) == pytest.approx(printed[key], rel=1e-6)
    own_maximum = {"psnr": printed["own_maximum_slices_psnr_mean"]}
    assert score("own-maximum", r, p) == pytest.approx(own_maximum, rel=1e-6)
