from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medtranslate.phantom.artefacts import add_ct_noise, add_rician_noise, bias_field


@pytest.mark.parametrize("signal", [0.0, 1.0, 40.0])
def test_noise_of_a_magnitude_image_is_rician(signal: float) -> None:
    sigma = 2.0

    noisy = add_rician_noise(np.full(60_000, signal), np.random.default_rng(4), sigma=sigma)

    expected = stats.rice(signal / sigma, scale=sigma)
    assert noisy.min() >= 0.0
    np.testing.assert_allclose(noisy.mean(), expected.mean(), rtol=0.01)
    np.testing.assert_allclose(noisy.std(), expected.std(), rtol=0.02)


def test_bias_is_a_positive_gain_of_the_stated_strength() -> None:
    texture = np.random.default_rng(1).standard_normal(20_000)

    gain = bias_field(texture, strength=0.1)

    assert gain.min() > 0.0
    np.testing.assert_allclose(np.log(gain).mean(), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.log(gain).std(), 0.1, rtol=0.02)
    np.testing.assert_array_equal(bias_field(texture, strength=0.0), 1.0)


def test_ct_noise_keeps_the_mean_and_has_the_stated_deviation_in_each_place() -> None:
    sigma = np.full((40, 40, 40), 5.0)
    sigma[:20] = 1.0

    noise = add_ct_noise(np.full(sigma.shape, 30.0), np.random.default_rng(2), sigma_hu=sigma)

    np.testing.assert_allclose(noise.mean(), 30.0, atol=0.05)
    np.testing.assert_allclose(noise[:20].std(), 1.0, rtol=0.03)
    np.testing.assert_allclose(noise[20:].std(), 5.0, rtol=0.03)
