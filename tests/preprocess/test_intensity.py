import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtranslate.errors import VolumeReadError
from medtranslate.preprocess.intensity import measure_scale, normalise, restore_stored
from medtranslate.preprocess.settings import NoIntensity, PercentileIntensity, WindowIntensity
from medtranslate.volume import CT_SCALE, IntensityScale


def test_percentile_scale_looks_only_inside_the_mask():
    voxels = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    mask = voxels < 500
    scale = measure_scale(PercentileIntensity(upper=90), voxels, mask, where="x")
    # Independent: linear interpolation between order statistics of 0..499.
    assert scale.factor == pytest.approx(0.9 * 499)
    assert (scale.offset, scale.unit) == (0.0, "arbitrary")


def test_negative_values_are_kept_as_they_are():
    scale = IntensityScale(0.0, 200.0)
    result = normalise(PercentileIntensity(), np.array([-20.0, 0.0, 400.0]), scale)
    np.testing.assert_allclose(result, [-0.1, 0.0, 2.0], rtol=1e-6)


def test_window_clips_and_maps_to_zero_and_one():
    window = WindowIntensity(low_hu=-1000, high_hu=1000)
    voxels = np.array([[[-3024.0, -1000.0, 0.0, 1000.0, 3000.0]]])
    scale = measure_scale(window, voxels, np.zeros(voxels.shape, bool), where="x")
    np.testing.assert_allclose(normalise(window, voxels, scale), [[[0, 0, 0.5, 1, 1]]])
    assert scale.unit == "HU"


def test_no_intensity_changes_no_bit():
    voxels = np.array([[[1.2345678, -3.0, 1e-30]]], dtype=np.float32)
    scale = measure_scale(NoIntensity(), voxels, np.ones(voxels.shape, bool), where="x")
    np.testing.assert_array_equal(normalise(NoIntensity(), voxels, scale), voxels)


def test_an_image_without_signal_inside_the_mask_is_refused():
    voxels, mask = np.zeros((4, 4, 4)), np.ones((4, 4, 4), bool)
    with pytest.raises(VolumeReadError, match=r"sub-1.*percentile 99.5 inside the mask is 0"):
        measure_scale(PercentileIntensity(), voxels, mask, where="sub-1")
    with pytest.raises(VolumeReadError, match="no voxel"):
        measure_scale(PercentileIntensity(), voxels, ~mask, where="sub-1")


@given(st.floats(0.3, 30000), st.floats(-2000, 2000).map(round))
def test_whole_numbers_come_back_to_the_bit(factor, offset):
    scale = IntensityScale(float(offset), factor)
    stored = np.arange(offset - 300, offset + 4 * int(factor) + 300, 7, dtype=np.float32)
    np.testing.assert_array_equal(restore_stored(scale.normalise(stored), scale), stored)


@given(st.integers(-30, 30), st.sampled_from([-1024.0, 0.0, 3.7]), st.integers(0, 1000))
def test_restored_values_are_those_of_double_precision(exponent, offset, seed):
    scale = IntensityScale(offset, 1.37 * 10.0**exponent)
    rng = np.random.default_rng(seed)
    normalised = (rng.normal(size=50) * np.exp(rng.normal(0, 5, 50))).astype(np.float32)
    exact = (normalised.astype(np.float64) * scale.factor + offset).astype(np.float32)
    largest = np.maximum(np.abs(exact), np.abs(exact - np.float32(offset)))
    finest = np.maximum(8.0 * np.spacing(largest), 2.0 ** (np.ceil(np.log2(scale.factor)) - 20))
    step = np.minimum(finest, 1.0)
    round_one = (np.round(exact.astype(np.float64) / step) * step).astype(np.float32)
    expected = np.where(scale.normalise(round_one) == normalised, round_one, exact)

    np.testing.assert_array_equal(restore_stored(normalised, scale), expected)


def test_every_twelve_bit_ct_value_comes_back_to_the_bit():
    stored = np.arange(-1024, 3072, dtype=np.float32)
    np.testing.assert_array_equal(restore_stored(CT_SCALE.normalise(stored), CT_SCALE), stored)


def test_fractions_come_back_within_the_rounding_of_the_normalised_value():
    stored = np.random.default_rng(0).gamma(2.0, 300.0, 5000).astype(np.float32)
    scale = IntensityScale(0.0, 411.465)
    np.testing.assert_allclose(
        restore_stored(scale.normalise(stored), scale), stored, rtol=2.0**-22, atol=0
    )
