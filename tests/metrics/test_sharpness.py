"""Sharpness on phantoms whose fineness is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft, ndimage
from scipy.stats import wasserstein_distance

from medtranslate.metrics.sharpness import (
    BIN_WIDTH_PER_MM,
    Spectrum,
    gradient_ratio,
    histogram_distance,
    radial_power_spectrum,
    seam_score,
    spectrum_difference,
    spectrum_distance,
    through_plane_error,
)

SPACING = (3.0, 1.0, 0.7)
SHAPE = (14, 40, 45)


@pytest.fixture
def textured():
    """A textured volume with coarse slices, and a mask that does not fill it."""
    volume = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal(SHAPE), 0.6) + 2.0
    mask = np.zeros(SHAPE, bool)
    mask[1:13, 4:37, 6:41] = True
    mask[1:5, 4:12, 6:20] = False
    return volume, mask


def spectra_apart(reference, prediction, mask, spacing=SPACING):
    return spectrum_distance(
        radial_power_spectrum(reference, mask, spacing),
        radial_power_spectrum(prediction, mask, spacing),
    )


def test_an_equal_image_is_as_sharp(textured):
    volume, mask = textured

    assert gradient_ratio(volume, volume, mask, SPACING) == 1.0
    assert spectra_apart(volume, volume, mask) == 0.0
    assert histogram_distance(volume[mask], volume[mask]) == 0.0
    assert through_plane_error(volume, volume, mask, spacing_mm=3.0) == 0.0


def test_blur_lowers_the_gradient_and_the_power_of_fine_detail(textured):
    volume, mask = textured
    blurred = ndimage.gaussian_filter(volume, 1.0)

    assert gradient_ratio(volume, blurred, mask, SPACING) < 0.7
    real, soft = (radial_power_spectrum(one, mask, SPACING) for one in (volume, blurred))
    decibels = spectrum_difference(real, soft)
    assert decibels[real.frequency > 0.5].max() < -6
    assert spectrum_distance(real, soft) == pytest.approx(np.sqrt(np.mean(decibels**2)))


def test_noise_raises_the_gradient_and_the_power_of_fine_detail(textured):
    volume, mask = textured
    noisy = volume + 0.5 * np.random.default_rng(1).standard_normal(SHAPE)

    assert gradient_ratio(volume, noisy, mask, SPACING) > 1.2
    real, rough = (radial_power_spectrum(one, mask, SPACING) for one in (volume, noisy))
    assert spectrum_difference(real, rough)[real.frequency > 0.5].min() > 1


def test_half_the_contrast_is_six_decibels_at_every_frequency(textured):
    volume, mask = textured
    real, flat = (radial_power_spectrum(one, mask, SPACING) for one in (volume, volume / 2))

    np.testing.assert_allclose(spectrum_difference(real, flat), -20 * np.log10(2), atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("size", [48, 49])
def test_a_wave_appears_at_its_frequency_in_cycles_per_mm(axis, size):
    shape = [20, 21, 22]
    shape[axis] = size
    spacing = (1.7, 1.2, 0.8)
    frequency = 0.23
    positions = np.arange(size) * spacing[axis]
    wave = np.sin(2 * np.pi * frequency * positions)
    volume = np.ones(shape) * np.expand_dims(wave, [other for other in range(3) if other != axis])

    found = radial_power_spectrum(volume, np.ones(shape, bool), spacing)

    assert abs(found.frequency[np.argmax(found.power)] - frequency) <= BIN_WIDTH_PER_MM


@pytest.mark.parametrize("spacing", [(2.0, 1.5, 1.0), (1.0, 1.5, 2.0)])
def test_the_spectrum_is_the_average_over_the_full_transform(spacing):
    volume = np.random.default_rng(2).standard_normal((10, 9, 8))
    mask = np.ones(volume.shape, bool)
    windowed = volume - volume.mean()
    for axis, size in enumerate(volume.shape):
        taper = np.sin(np.pi * np.arange(1, size + 1) / (size + 1)) ** 2
        windowed = np.moveaxis(np.moveaxis(windowed, axis, -1) * taper, -1, axis)
    power = np.abs(fft.fftn(windowed)) ** 2
    axes = [fft.fftfreq(n, d) for n, d in zip(volume.shape, spacing, strict=True)]
    radius = np.linalg.norm(np.meshgrid(*axes, indexing="ij"), axis=0)

    found = radial_power_spectrum(volume, mask, spacing)

    kept = (radius > 0) & (radius <= 0.5)
    rings = np.floor(radius / BIN_WIDTH_PER_MM).astype(int)
    np.testing.assert_array_equal(found.bins, np.unique(rings[kept]))
    expected = [power[kept & (rings == ring)].mean() for ring in found.bins]
    np.testing.assert_allclose(found.power, expected, rtol=1e-9)


def test_swapped_spacings_are_noticed():
    """Detail is lost along the first axis alone: what that costs depends on its voxel size."""
    i, j, _ = np.meshgrid(*map(np.arange, (16, 16, 16)), indexing="ij")
    reference, prediction = np.sin(i) + np.sin(j), 0.2 * np.sin(i) + np.sin(j)
    everywhere = np.ones(i.shape, bool)

    coarse = gradient_ratio(reference, prediction, everywhere, (5.0, 1.0, 1.0))
    fine = gradient_ratio(reference, prediction, everywhere, (1.0, 5.0, 1.0))

    assert coarse > 0.9
    assert fine < 0.5
    apart = [
        spectra_apart(reference, prediction, everywhere, spacing)
        for spacing in ((5.0, 1.0, 1.0), (1.0, 5.0, 1.0))
    ]
    assert abs(apart[0] - apart[1]) > 1.0


def test_the_gradient_ratio_is_that_of_known_slopes():
    i, j, k = np.meshgrid(*map(np.arange, (8, 9, 10)), indexing="ij")
    reference = 2.0 * i * SPACING[0] + 1.0 * j * SPACING[1] - 2.0 * k * SPACING[2]  # 3 per mm
    prediction = 1.0 * k * SPACING[2]  # 1 per mm

    ratio = gradient_ratio(reference, prediction, np.ones(i.shape, bool), SPACING)

    assert ratio == pytest.approx(1 / 3)


def test_what_lies_outside_the_mask_has_no_say(textured):
    volume, mask = textured
    other = np.where(mask, volume, -50.0)

    assert gradient_ratio(volume, other, mask, SPACING) == 1.0
    assert spectra_apart(volume, other, mask) == 0.0
    assert through_plane_error(volume, other, mask, spacing_mm=3.0) == 0.0


def test_a_mask_too_thin_or_a_flat_reference_has_no_gradient_ratio(textured):
    volume, _ = textured
    sheet = np.zeros(SHAPE, bool)
    sheet[4:6] = True

    assert gradient_ratio(volume, volume, sheet, SPACING) is None
    assert gradient_ratio(np.ones(SHAPE), volume, np.ones(SHAPE, bool), SPACING) is None


def test_one_slice_has_a_spectrum_and_no_step_to_the_next(textured):
    volume, _ = textured
    sheet = np.zeros(SHAPE, bool)
    sheet[4] = True

    assert through_plane_error(volume, volume, sheet, spacing_mm=3.0) is None
    assert radial_power_spectrum(volume, sheet, SPACING).power.max() > 0


def test_a_flat_image_is_far_from_a_textured_one_but_not_infinitely(textured):
    volume, mask = textured

    assert 50 < spectra_apart(volume, np.ones(SHAPE), mask) < 200
    assert spectra_apart(np.ones(SHAPE), np.ones(SHAPE), mask) == 0.0


def test_spectra_of_two_grids_are_not_compared():
    with pytest.raises(ValueError, match="different rings"):
        spectrum_difference(
            Spectrum(np.array([1, 2]), np.ones(2)), Spectrum(np.array([1, 3]), np.ones(2))
        )


def test_the_histogram_distance_is_wasserstein_s(textured):
    volume, mask = textured
    reference, prediction = volume[mask], 0.8 * volume[mask] + 0.1

    found = histogram_distance(reference, prediction)

    width = (max(reference.max(), prediction.max()) - min(reference.min(), prediction.min())) / 4096
    assert abs(found - wasserstein_distance(reference, prediction)) <= width
    assert histogram_distance(reference, reference + 0.25) == pytest.approx(0.25, abs=2 * width)
    assert histogram_distance(np.full(4, 3.0), np.full(5, 3.0)) == 0.0


def test_the_through_plane_error_is_per_mm_and_along_the_slices(textured):
    volume, mask = textured
    flicker = volume + 0.3 * (np.arange(SHAPE[0]) % 2)[:, None, None]
    ramp = volume + 0.3 * np.arange(SHAPE[1])[None, :, None]

    assert through_plane_error(volume, flicker, mask, spacing_mm=3.0) == pytest.approx(0.1)
    assert through_plane_error(volume, ramp, mask, spacing_mm=3.0) == pytest.approx(0.0, abs=1e-12)


def chessboard(shape, borders):
    """Squares between the borders of each axis."""
    colours = [
        np.searchsorted(edges, np.arange(n), side="right")
        for n, edges in zip(shape, borders, strict=True)
    ]
    return np.meshgrid(*colours, indexing="ij")[0] * 0 + sum(np.meshgrid(*colours, indexing="ij"))


def test_the_seam_score_sees_a_seam_and_only_where_it_lies(textured):
    volume, mask = textured
    noise = 0.05 * np.random.default_rng(3).standard_normal(SHAPE)
    right = chessboard(SHAPE, ([], [20], [])) % 2
    wrong = chessboard(SHAPE, ([], [25], [])) % 2
    stepped = volume + noise
    stepped[:, 20:] += 0.4

    assert seam_score(volume, stepped, mask, right) > 4
    assert seam_score(volume, stepped, mask, wrong) < 1.2
    assert seam_score(volume, volume + noise, mask, right) == pytest.approx(1.0, abs=0.1)


def test_the_seam_score_is_the_ratio_of_known_jumps():
    error = np.zeros((3, 12, 4))
    error[:, 1::2] = 0.1  # every step along j is 0.1
    error[:, 6:] += 0.5  # between 5 and 6 it falls from 0.1 to 0.5
    cells = chessboard(error.shape, ([], [6], []))

    mask = np.ones(error.shape, bool)
    mask[0] = False
    error[0] *= np.arange(12)[:, None]  # outside the mask, so of no account

    found = seam_score(np.zeros(error.shape), error, mask, cells)

    assert found == pytest.approx(0.4 / 0.1)


def test_an_axis_with_coarser_steps_is_no_seam():
    """The error is rougher along the only axis that has borders; each axis is its own measure."""
    error = np.random.default_rng(4).standard_normal((30, 40, 40))
    error = ndimage.gaussian_filter(error, (0, 2.0, 2.0))
    cells = chessboard(error.shape, ([10, 20], [], []))

    found = seam_score(np.zeros(error.shape), error, np.ones(error.shape, bool), cells)

    assert found == pytest.approx(1.0, abs=0.1)


def test_without_border_or_error_there_is_no_seam_score(textured):
    volume, mask = textured
    whole = np.zeros(SHAPE, int)

    assert seam_score(volume, volume + 1, mask, whole) is None
    assert seam_score(volume, volume, mask, chessboard(SHAPE, ([], [20], []))) is None
