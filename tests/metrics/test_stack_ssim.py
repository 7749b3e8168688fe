"""Similarity of slices and volume in one pass, against scikit-image on whole arrays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import structural_similarity

from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.stack_ssim import compare_slices, score_stack
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import Volume

NONE = Protocol(scale="none", data_range=1.0, min_mask_fraction=0.1)
SHAPE = (33, 27, 41)


def smooth_noise(*, seed):
    noise = np.random.default_rng(seed).standard_normal(SHAPE)
    return 0.6 + 0.5 * ndimage.gaussian_filter(noise, 1.2)


def corner_mask():
    """Two blobs, one cut by the first slices, with empty slices between and behind them."""
    grid = np.indices(SHAPE).astype(float)
    blobs = [((10, 12, 3), (8, 10, 9)), ((20, 9, 27), (6, 7, 5))]
    return np.any(
        [
            (((grid - np.reshape(at, (3, 1, 1, 1))) / np.reshape(size, (3, 1, 1, 1))) ** 2).sum(0)
            < 1
            for at, size in blobs
        ],
        axis=0,
    )


def skimage_map(x, y):
    return structural_similarity(
        x,
        y,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )


def prepare(outside):
    mask = corner_mask()
    x, y = smooth_noise(seed=1), smooth_noise(seed=2)
    if outside != "skull":
        x = np.where(mask, x, 0)
    if outside == "empty":
        y = np.where(mask, y, 0)
    yardstick = make_yardstick(Volume(x[None], Geometry(SHAPE, np.eye(4)), "T1w"), mask, NONE)
    return yardstick, yardstick.bring(y, scale=None), (x, y, mask)


@pytest.mark.parametrize("outside", ["empty", "skull", "only the prediction"])
def test_slices_and_volume_are_those_of_scikit_image(outside):
    yardstick, prediction, (x, y, mask) = prepare(outside)

    found = list(score_stack(yardstick, prediction, range(SHAPE[2])))

    inside = np.where(mask, x, 0), np.where(mask, y, 0)
    volume = skimage_map(*inside)[1]
    assert [one.index for one in found] == list(np.flatnonzero(mask.any(axis=(0, 1))))
    assert any(one.ssim is None for one in found)
    for one in found:
        k = one.index
        assert one.in_volume == pytest.approx(volume[..., k][mask[..., k]].sum(), abs=1e-10)
        if one.ssim is not None:
            masked = skimage_map(inside[0][..., k], inside[1][..., k])[1][mask[..., k]].mean()
            assert one.ssim.masked == pytest.approx(masked, abs=1e-10)
            whole = skimage_map(x[..., k], y[..., k])[0]
            assert one.ssim.whole == pytest.approx(whole, abs=1e-10)
            assert compare_slices(yardstick, prediction, k) == one.ssim


@pytest.mark.parametrize("cut", [1, 7, 16, 30])
def test_values_do_not_depend_on_how_slices_are_shared_out(cut):
    yardstick, prediction, _ = prepare("skull")

    parts = range(cut), range(cut, SHAPE[2])
    found = [one for part in parts for one in score_stack(yardstick, prediction, part)]

    assert found == list(score_stack(yardstick, prediction, range(SHAPE[2])))


@pytest.mark.parametrize("outside", ["empty", "only the prediction"])
def test_mask_voxels_without_signal_count(outside):
    yardstick, prediction, (x, y, mask) = prepare(outside)
    hole = np.zeros_like(prediction, dtype=bool)
    hole[2:5, 4:10, 6:14] = True
    yardstick.reference[hole] = prediction[hole] = 0.0
    k = 3

    found = compare_slices(yardstick, prediction, k)

    x, y, mask = yardstick.reference[k], prediction[k], yardstick.mask[k]
    masked = skimage_map(np.where(mask, x, 0), np.where(mask, y, 0))[1][mask].mean()
    assert found.masked == pytest.approx(masked, abs=1e-10)
    assert found.whole == pytest.approx(skimage_map(x, y)[0], abs=1e-10)
