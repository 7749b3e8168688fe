"""Similarity over scales, against the formula written out for the whole volume."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, signal

from medtranslate.metrics.multiscale import multiscale_ssim, without_border

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
RANGE = 4095.0


def written_out(reference, prediction, mask, weights=WEIGHTS):
    """No slabs, no boxes: each map is made whole and halved by a convolution."""
    padding = [((max(97 - n, 0)) // 2, (max(97 - n, 0) + 1) // 2) for n in reference.shape]
    x, y = (np.pad(image, padding, mode="edge") for image in (reference, prediction))
    inside = np.pad(mask, padding, mode="edge")
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    values = []
    for weight in weights:
        ux, uy = (ndimage.uniform_filter(image, 7) for image in (x, y))
        vx = 343 / 342 * (ndimage.uniform_filter(x * x, 7) - ux * ux)
        vy = 343 / 342 * (ndimage.uniform_filter(y * y, 7) - uy * uy)
        vxy = 343 / 342 * (ndimage.uniform_filter(x * y, 7) - ux * uy)
        sx, sy = np.sqrt(np.clip(vx, 0, None)), np.sqrt(np.clip(vy, 0, None))
        luminance = (2 * ux * uy + c1) / (ux**2 + uy**2 + c1)
        contrast = (2 * sx * sy + c2) / (vx + vy + c2)
        structure = np.clip((vxy + c2 / 2) / (sx * sy + c2 / 2), 0, None)
        similarity = luminance**weight * contrast**weight * structure**weight
        core = (slice(3, -3),) * 3
        values.append(similarity[core][inside[core]].mean())
        kernel = np.full((2, 2, 2), 1 / 8)
        x, y = (signal.convolve(image, kernel, mode="same") for image in (x, y))
        x, y, inside = (image[::2, ::2, ::2] for image in (x, y, inside))
    return np.prod(np.clip(values, 0, 1))


def make_pair(shape, *, seed=0):
    """A rough body and a blurred, darker copy of it; nothing outside the mask."""
    generator = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    mask = ((grid - np.array([0.1, -0.15, 0.2]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0) < 0.9
    rough = 1200 + 900 * ndimage.gaussian_filter(generator.standard_normal(shape), 1.0)
    reference = np.where(mask, np.clip(rough + 300 * grid[0], 0, RANGE), 0.0)
    noise = 80 * generator.standard_normal(shape)
    prediction = np.where(mask, 0.8 * ndimage.gaussian_filter(reference, 0.7) + noise, 0.0)
    return reference, np.clip(prediction, 0, RANGE), mask


@pytest.mark.parametrize("shape", [(40, 33, 26), (104, 31, 100)])
def test_the_value_is_that_of_the_formula(shape) -> None:
    pair = make_pair(shape)

    found = multiscale_ssim(*pair, data_range=RANGE, weights=WEIGHTS)

    np.testing.assert_allclose(found, written_out(*pair), rtol=1e-10)
    assert 0.3 < found < 0.98


def test_the_order_of_the_scales_matters() -> None:
    pair = make_pair((40, 33, 26))

    forwards = multiscale_ssim(*pair, data_range=RANGE, weights=WEIGHTS)
    backwards = multiscale_ssim(*pair, data_range=RANGE, weights=WEIGHTS[::-1])

    assert abs(forwards - backwards) > 0.01
    np.testing.assert_allclose(backwards, written_out(*pair, weights=WEIGHTS[::-1]), rtol=1e-10)


def test_an_image_is_as_similar_to_itself_as_can_be() -> None:
    reference, _, mask = make_pair((40, 33, 26))

    found = multiscale_ssim(reference, reference, mask, data_range=RANGE, weights=WEIGHTS)

    np.testing.assert_allclose(found, 1.0, atol=1e-12)


def test_luminance_enters_at_every_scale() -> None:
    """Two flat images differ in luminance alone: each scale gives it once, by its weight."""
    mask = np.zeros((97, 97, 97), bool)
    mask[30:70, 30:70, 30:70] = True
    bright, dark = np.full(mask.shape, 2000.0), np.full(mask.shape, 500.0)
    c1 = (0.01 * RANGE) ** 2
    luminance = (2 * 2000 * 500 + c1) / (2000**2 + 500**2 + c1)

    found = multiscale_ssim(bright, dark, mask, data_range=RANGE, weights=(0.3, 0.4))

    np.testing.assert_allclose(found, luminance**0.7, rtol=1e-9)


def test_a_mask_without_a_voxel_at_the_coarsest_scale_has_no_value() -> None:
    reference, prediction, _ = make_pair((40, 33, 26))
    mask = np.zeros(reference.shape, bool)
    mask[5, 7, 9] = True

    found = multiscale_ssim(reference, prediction, mask, data_range=RANGE, weights=WEIGHTS)

    assert np.isnan(found)


def test_the_border_is_taken_out_of_a_mask() -> None:
    kept = without_border(np.ones((7, 5, 3), bool), 2)

    np.testing.assert_array_equal(np.argwhere(kept), np.empty((0, 3), int))
    kept = without_border(np.ones((7, 6), bool), 2)
    np.testing.assert_array_equal(np.argwhere(kept), [(i, j) for i in (2, 3, 4) for j in (2, 3)])
