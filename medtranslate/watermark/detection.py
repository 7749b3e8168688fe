"""Test whether a volume carries a key's watermark, and how likely another key would seem to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.ndimage import uniform_filter
from scipy.stats import norm

from medtranslate.errors import VolumeReadError
from medtranslate.volume import Volume
from medtranslate.watermark.activity import Activity, find_shown, measure_activity
from medtranslate.watermark.axes import to_ras
from medtranslate.watermark.key import WatermarkKey
from medtranslate.watermark.pattern import PERIOD, draw_pattern, gather, in_band

MAX_CHANCE = 1e-6
"""A watermark is found if a key that has nothing to do with the volume scores as high so rarely."""

NEEDED_SCORE = float(norm.isf(MAX_CHANCE / PERIOD**3))
"""The score that this takes: the pattern may lie in any of ``PERIOD**3`` places."""

_SMALLEST = 8
_WIDTH = 9
_FLOOR = 1e-4
_CALM = 0.3


@dataclass(frozen=True)
class Detection:
    """What came of looking for one key's watermark.

    Attributes:
        score: Highest correlation over all places that the pattern may have been moved to, in
            standard deviations of what keys without relation to the volume give in one place.
        chance: Upper bound of the probability that such a key gets this score or more in any of
            these places.
    """

    score: float
    chance: float

    @property
    def found(self) -> bool:
        """Whether the watermark is there."""
        return self.score >= NEEDED_SCORE


def find_watermark(volume: Volume, key: WatermarkKey) -> Detection:
    """Look for a key's watermark.

    Anatomy is levelled out, in space by the local deviation and in frequency by the smoothed
    spectrum; what is left is correlated with the pattern at every shift. The pattern of a wrong
    key is noise that knows nothing of the volume, so its correlations are normally distributed
    whatever the volume shows, and their deviation is that of the correlations at all shifts.

    Args:
        volume: One channel, finite, of any type and scale.
        key: Whose mark is looked for.

    Raises:
        VolumeReadError: If the volume is too small or the same everywhere.
    """
    scores = correlate(extract_signal(volume), key)
    score = float(scores.max())
    return Detection(score, min(1.0, scores.size * float(norm.sf(score))))


def extract_signal(volume: Volume) -> np.ndarray:
    """What may hold a pattern, once anatomy is levelled out.

    Returns:
        One period of the pattern, float32.

    Raises:
        VolumeReadError: If the volume is too small or the same everywhere.
    """
    if min(volume.geometry.shape) < _SMALLEST:
        raise VolumeReadError(
            f"a volume of {volume.geometry.describe()} is too small to hold a watermark: it takes"
            f" {_SMALLEST} voxels along each axis"
        )
    turned = to_ras(volume.voxels, volume.geometry.affine)
    activity = measure_activity(turned, find_shown(turned))
    if activity.typical == 0:
        raise VolumeReadError("the volume is the same everywhere, so there is no watermark in it")
    return gather(_whiten(_level(activity)))


def correlate(signal: np.ndarray, key: WatermarkKey) -> np.ndarray:
    """Scores of a key at every cyclic shift of its pattern.

    Args:
        signal: From :func:`extract_signal`.
        key: Whose pattern it is compared with.

    Returns:
        Shape of ``signal``, float32; root mean square 1.
    """
    expected = fft.rfftn(draw_pattern(key))
    product: np.ndarray = fft.irfftn(fft.rfftn(signal) * np.conj(expected), s=signal.shape)
    deviation = np.sqrt(np.square(product, dtype=np.float64).mean())
    scores: np.ndarray = product / np.float32(deviation)
    return scores


def _level(activity: Activity) -> np.ndarray:
    """Weigh each voxel by the mark that it takes over the variance of what is there anyway.

    Towards the border it fades: cut off there, the strong low frequencies would spill into all.
    """
    variance = activity.deviation**2 + np.float32(_CALM * activity.typical) ** 2
    weight = activity.depth * activity.capacity / variance
    levelled: np.ndarray = activity.detail * weight
    return levelled


def _whiten(field: np.ndarray) -> np.ndarray:
    """Weigh each frequency of the pattern's by the inverse of its power nearby; drop the others."""
    spectrum = fft.rfftn(field)
    band = in_band(field.shape)
    power = np.where(band, np.square(np.abs(spectrum)), np.float32(0))
    nearby = uniform_filter(power, _WIDTH, mode="wrap")
    share = uniform_filter(band.astype(np.float32), _WIDTH, mode="wrap")
    floor = np.float32(_FLOOR) * power[band].mean()
    weight = np.where(band, share / (nearby + floor), np.float32(0))
    whitened: np.ndarray = fft.irfftn(spectrum * weight, s=field.shape)
    return whitened
