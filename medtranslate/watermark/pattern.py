"""The pattern that a key stands for: noise of middle frequencies that repeats after some voxels.

It repeats so that it can be looked for at every place at once, in a part of a volume as well.
"""

from __future__ import annotations

from hashlib import shake_256

import numpy as np
from scipy import fft

from medtranslate.watermark.key import WatermarkKey

PERIOD = 128
"""Voxels along each axis after which the pattern repeats."""

_BAND = (0.8, 2.5)
"""Radians a voxel. Below, anatomy drowns the mark; above, smoothing and interpolation erase it."""

_DOMAIN = b"medtranslate-watermark-1"


def draw_pattern(key: WatermarkKey) -> np.ndarray:
    """One period of a key's pattern.

    The noise comes from SHAKE-256, so that every version of every library draws the same.

    Returns:
        Shape ``(PERIOD, PERIOD, PERIOD)``, float32, mean 0, standard deviation 1.
    """
    shape = (PERIOD, PERIOD, PERIOD)
    drawn = shake_256(_DOMAIN + key.secret).digest(PERIOD**3)
    noise = np.frombuffer(drawn, np.uint8).astype(np.float32).reshape(shape)
    pattern: np.ndarray = fft.irfftn(fft.rfftn(noise) * in_band(shape), s=shape)
    scaled: np.ndarray = pattern / pattern.std()
    return scaled


def in_band(shape: tuple[int, int, int]) -> np.ndarray:
    """Which frequencies of a real Fourier transform the pattern has.

    Returns:
        Boolean, of the shape that :func:`scipy.fft.rfftn` gives for ``shape``.
    """
    axes = [fft.fftfreq(size) for size in shape[:-1]] + [fft.rfftfreq(shape[-1])]
    squares = [np.square(2 * np.pi * axis, dtype=np.float32) for axis in axes]
    radius_squared: np.ndarray = np.add.outer(np.add.outer(*squares[:2]), squares[2])
    low, high = _BAND
    inside: np.ndarray = (radius_squared >= low**2) & (radius_squared <= high**2)
    return inside


def spread(pattern: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Lay a pattern out over a volume, again and again, from its first voxel on."""
    return pattern[np.ix_(*(np.arange(size) % PERIOD for size in shape))]


def gather(field: np.ndarray) -> np.ndarray:
    """Add up the voxels over which :func:`spread` lays the same voxel of the pattern.

    Returns:
        One period; 0 where a small volume has no voxel.
    """
    blocks = [-(-size // PERIOD) for size in field.shape]
    missing = [(0, count * PERIOD - size) for count, size in zip(blocks, field.shape, strict=True)]
    i, j, k = blocks
    whole = np.pad(field, missing).reshape(i, PERIOD, j, PERIOD, k, PERIOD)
    gathered: np.ndarray = whole.sum(axis=(0, 2, 4))
    return gathered
