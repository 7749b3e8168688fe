"""Agreement of arrays, against scikit-image and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import structural_similarity

from medtranslate.metrics.similarity import (
    SsimWindow,
    bounding_box,
    masked_ssim,
    mean_absolute_error,
    mean_error,
    peak_signal_to_noise,
    ssim_map,
)

WINDOW = SsimWindow()


def smooth_noise(shape, *, seed, offset=0.6):
    noise = np.random.default_rng(seed).standard_normal(shape)
    return offset + 0.5 * ndimage.gaussian_filter(noise, 1.2)


def corner_mask(shape):
    """A blob nearer to one corner, so that its box is cut by one edge of the array only."""
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
    centre = np.array([0.3 * n for n in shape]).reshape(-1, *[1] * len(shape))
    radius = np.array([0.32 * n for n in shape]).reshape(-1, *[1] * len(shape))
    return (((grid - centre) / radius) ** 2).sum(axis=0) < 1


def whole_map(reference, prediction, data_range=1.0):
    """scikit-image on the whole array, as its documentation says for the paper's SSIM."""
    return structural_similarity(
        reference,
        prediction,
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )


def textbook_map(x, y, *, data_range=1.0, sigma=1.5):
    """SSIM after Wang et al. 2004, written out on SciPy's Gaussian filter."""

    def local_mean(array):
        return ndimage.gaussian_filter(array, sigma, truncate=3.5)

    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my = local_mean(x), local_mean(y)
    vx, vy = local_mean(x * x) - mx**2, local_mean(y * y) - my**2
    cov = local_mean(x * y) - mx * my
    return (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


def test_psnr_of_a_known_error_is_that_many_decibels():
    reference = np.zeros((4, 5))

    assert peak_signal_to_noise(reference, reference + 0.1, data_range=1.0) == pytest.approx(20.0)
    assert peak_signal_to_noise(reference, reference - 8.0, data_range=80.0) == pytest.approx(20.0)


def test_psnr_of_equal_arrays_is_infinite_without_a_warning():
    array = np.arange(12.0).reshape(3, 4)

    assert peak_signal_to_noise(array, array, data_range=1.0) == float("inf")


def test_errors_are_averaged_over_the_mask_alone():
    reference = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    prediction = np.array([[1.5, 1.0, 99.0], [99.0, 99.0, 6.0]])
    mask = np.array([[True, True, False], [False, False, True]])

    assert mean_absolute_error(reference, prediction, mask=mask) == pytest.approx(0.5)
    assert mean_error(reference, prediction, mask=mask) == pytest.approx(-0.5 / 3)
    assert peak_signal_to_noise(reference, prediction, data_range=2.0, mask=mask) == pytest.approx(
        10 * np.log10(4.0 / (1.25 / 3))
    )


def test_mean_error_is_positive_where_the_prediction_is_too_bright():
    assert mean_error(np.zeros(3), np.ones(3)) == pytest.approx(1.0)


def test_integers_do_not_wrap_around():
    reference, prediction = np.array([250], np.uint8), np.array([5], np.uint8)

    assert mean_absolute_error(reference, prediction) == pytest.approx(245.0)


@pytest.mark.parametrize("measure", [mean_absolute_error, mean_error])
def test_an_empty_mask_and_unequal_shapes_are_refused(measure):
    with pytest.raises(ValueError, match="mask is empty"):
        measure(np.zeros(3), np.zeros(3), mask=np.zeros(3, bool))
    with pytest.raises(ValueError, match="shape"):
        measure(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="mask has shape"):
        measure(np.zeros(3), np.zeros(3), mask=np.ones(4, bool))


@pytest.mark.parametrize("shape", [(31, 22), (19, 25, 16)])
def test_ssim_map_is_that_of_the_paper(shape):
    x, y = smooth_noise(shape, seed=1), smooth_noise(shape, seed=2)

    found = ssim_map(x, y, data_range=1.0, window=WINDOW)

    np.testing.assert_allclose(found, textbook_map(x, y), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(7, 30), (3, 4), (24, 25, 6), (1, 20)])
def test_arrays_thinner_than_the_window_have_the_same_map_as_the_plain_filter(shape):
    x, y = smooth_noise(shape, seed=3), smooth_noise(shape, seed=4)

    found = ssim_map(x, y, data_range=1.0, window=WINDOW)

    np.testing.assert_allclose(found, textbook_map(x, y), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(40, 33), (37, 29, 41), (70, 20, 22)])
@pytest.mark.parametrize("background", [0.0, -0.4])
def test_masked_ssim_is_the_mean_of_the_whole_map_in_the_mask(shape, background):
    mask = corner_mask(shape)
    x, y = smooth_noise(shape, seed=5), smooth_noise(shape, seed=6)

    found = masked_ssim(x, y, mask, data_range=1.0, window=WINDOW, background=background)

    _, full = whole_map(np.where(mask, x, background), np.where(mask, y, background))
    assert found == pytest.approx(full[mask].mean(), abs=1e-12)


def test_masked_ssim_of_two_far_apart_parts_counts_every_voxel_once():
    mask = np.zeros((60, 24, 26), bool)
    mask[2:6, 4:9, 3:8] = mask[14:18, 10:20, 12:20] = mask[50:58, 1:5, 18:25] = True
    x, y = smooth_noise(mask.shape, seed=7), smooth_noise(mask.shape, seed=8)

    found = masked_ssim(x, y, mask, data_range=1.0, window=WINDOW)

    _, full = whole_map(np.where(mask, x, 0), np.where(mask, y, 0))
    assert found == pytest.approx(full[mask].mean(), abs=1e-12)


def test_ssim_of_equal_images_is_one_and_of_inverted_ones_is_negative():
    x = smooth_noise((30, 30), seed=11)
    mask = np.ones(x.shape, bool)

    assert masked_ssim(x, x, mask, data_range=1.0, window=WINDOW) == pytest.approx(1.0)
    assert masked_ssim(x, 1.2 - x, mask, data_range=1.0, window=WINDOW) < 0


def test_masked_ssim_refuses_an_empty_mask():
    array = np.zeros((20, 20))

    with pytest.raises(ValueError, match="mask is empty"):
        masked_ssim(array, array, array > 0, data_range=1.0, window=WINDOW)


def test_bounding_box_holds_the_mask_and_stays_inside_the_array():
    mask = np.zeros((10, 12, 14), bool)
    mask[4, 2:5, 13] = True

    assert bounding_box(mask) == (slice(4, 5), slice(2, 5), slice(13, 14))
    assert bounding_box(mask, margin=3) == (slice(1, 8), slice(0, 8), slice(10, 14))
    with pytest.raises(ValueError, match="empty"):
        bounding_box(np.zeros((2, 2), bool))


@pytest.mark.parametrize(("sigma", "radius"), [(1.5, 5), (1.0, 4), (2.0, 7)])
def test_the_window_reaches_as_far_as_scikit_images(sigma, radius):
    impulse = np.zeros(41)
    impulse[20] = 1.0

    assert SsimWindow(sigma=sigma).radius == radius
    reach = np.flatnonzero(ndimage.gaussian_filter(impulse, sigma, truncate=3.5))
    assert (reach.max() - reach.min()) // 2 == radius
