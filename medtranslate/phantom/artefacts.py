"""What a scanner adds to the signal: receive bias and noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def bias_field(texture: np.ndarray, *, strength: float) -> np.ndarray:
    """Smooth positive gain of mean logarithm 0, ``exp(strength * texture)``.

    Args:
        texture: Smooth field of unit variance, any shape.
        strength: Standard deviation of the logarithm; 0.1 is a gain of about 10 %.
    """
    gain: np.ndarray = np.exp(strength * (texture - texture.mean()))
    return gain


def add_rician_noise(
    signal: np.ndarray, generator: np.random.Generator, *, sigma: float
) -> np.ndarray:
    """Magnitude of ``signal`` with complex Gaussian noise, ``|S + n1 + i n2|``.

    Args:
        signal: Non-negative, any shape and unit.
        generator: Source of randomness.
        sigma: Standard deviation of each noise channel, unit of ``signal``. Where there is no
            signal the mean is ``sigma * sqrt(pi / 2)``.
    """
    real = signal + sigma * generator.standard_normal(signal.shape)
    imaginary = sigma * generator.standard_normal(signal.shape)
    magnitude: np.ndarray = np.hypot(real, imaginary)
    return magnitude


def add_ct_noise(
    attenuation: np.ndarray, generator: np.random.Generator, *, sigma_hu: float | np.ndarray
) -> np.ndarray:
    """``attenuation`` with slightly correlated Gaussian noise of ``sigma_hu``, Hounsfield units."""
    noise = ndimage.gaussian_filter(generator.standard_normal(attenuation.shape), 0.5, mode="wrap")
    noisy: np.ndarray = attenuation + sigma_hu * noise / noise.std()
    return noisy
