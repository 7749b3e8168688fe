"""Regions against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from medtranslate.metrics.regions import (
    boundary_shell,
    dice,
    score_region,
    split_tissues,
    ssim_in_mask,
)
from medtranslate.metrics.similarity import SsimWindow, masked_ssim

WINDOW = SsimWindow()


def test_the_shell_is_the_two_outermost_layers_inside_the_mask():
    mask = np.zeros((14, 12, 10), bool)
    mask[2:12, 3:11, 1:9] = True
    core = np.zeros_like(mask)
    core[4:10, 5:9, 3:7] = True

    np.testing.assert_array_equal(boundary_shell(mask), mask & ~core)


def test_where_the_scan_was_cut_off_there_is_no_surface():
    mask = np.zeros((8, 9, 10), bool)
    mask[:, :, :6] = True
    shell = np.zeros_like(mask)
    shell[:, :, 4:6] = True

    np.testing.assert_array_equal(boundary_shell(mask), shell)
    assert not boundary_shell(np.ones((5, 5, 5), bool)).any()


def test_a_region_is_scored_over_its_own_voxels():
    reference = np.array([0.1, 0.5, 0.9, 0.2])
    prediction = np.array([0.2, 0.1, 0.7, 0.2])
    region = np.array([False, True, True, False])

    scores = score_region(
        reference, prediction, np.array([1.0, 0.2, 0.4, 1.0]), region, data_range=2.0
    )

    assert scores.voxels == 2
    assert scores.mae == pytest.approx(0.3)
    assert scores.me == pytest.approx(-0.3)  # prediction minus reference
    assert scores.ssim == pytest.approx(0.3)
    assert scores.psnr == pytest.approx(10 * np.log10(4.0 / np.mean([0.16, 0.04])))


def test_ssim_in_the_mask_is_scikit_image_s_map_at_its_voxels(make_pair):
    reference, prediction, mask = make_pair(shape=(40, 18, 21))
    pair = [
        np.where(mask, v.voxels / 1000.0, 0.0).astype(np.float64) for v in (reference, prediction)
    ]
    _, expected = structural_similarity(
        *pair, data_range=1.5, gaussian_weights=True, use_sample_covariance=False, full=True
    )

    found = ssim_in_mask(
        reference.voxels / 1000.0, prediction.voxels / 1000.0, mask, data_range=1.5, window=WINDOW
    )

    np.testing.assert_allclose(found, expected[mask], atol=1e-10)
    whole = masked_ssim(*pair, mask, data_range=1.5, window=WINDOW)
    assert found.mean() == pytest.approx(whole, abs=1e-10)


def test_each_voxel_of_a_ct_is_in_one_tissue_and_limits_belong_upward():
    hu = np.array([-1000.0, -200.1, -200.0, 40.0, 149.9, 150.0, 2000.0])

    tissues = dict(split_tissues(hu))

    np.testing.assert_array_equal(tissues["air"], [1, 1, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(tissues["soft tissue"], [0, 0, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(tissues["bone"], [0, 0, 0, 0, 0, 1, 1])


def test_dice_counts_what_is_common_twice():
    first = np.array([1, 1, 1, 0, 0], bool)
    second = np.array([0, 1, 1, 1, 1], bool)

    assert dice(first, second) == pytest.approx(4 / 7)
    assert dice(first, ~first) == 0.0
    with pytest.raises(ValueError, match="both regions are empty"):
        dice(np.zeros(3, bool), np.zeros(3, bool))


def test_a_map_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="SSIM map has shape"):
        score_region(np.ones(3), np.ones(3), np.ones(2), np.ones(3, bool), data_range=1.0)
