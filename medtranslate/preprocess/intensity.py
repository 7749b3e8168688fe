"""Stored values to normalised ones, and back."""

from __future__ import annotations

import numpy as np

from medtranslate.errors import VolumeReadError
from medtranslate.preprocess.settings import IntensitySettings, PercentileIntensity, WindowIntensity
from medtranslate.volume import IntensityScale

_ROUNDING_BITS = 20


def measure_scale(
    settings: IntensitySettings, stored: np.ndarray, mask: np.ndarray, *, where: str
) -> IntensityScale:
    """The scale that ``settings`` asks for, from the voxels inside the mask where it needs them.

    Args:
        settings: A fixed window, a percentile, or none.
        stored: Shape ``(i, j, k)``; stored values.
        mask: Boolean, same shape.
        where: Names the scan in messages.

    Returns:
        Offset and factor; the offset is the background.

    Raises:
        VolumeReadError: If the mask is empty or the percentile inside it is not positive.
    """
    if isinstance(settings, WindowIntensity):
        return IntensityScale(settings.low_hu, settings.high_hu - settings.low_hu, "HU")
    if not isinstance(settings, PercentileIntensity):
        return IntensityScale(0.0, 1.0)
    inside = stored[mask].astype(np.float64)
    if inside.size == 0:
        raise VolumeReadError(f"{where}: the mask holds no voxel, nothing to measure a scale from")
    factor = float(np.percentile(inside, settings.upper))
    if not factor > 0:
        raise VolumeReadError(
            f"{where}: percentile {settings.upper} inside the mask is {factor:g}, expected a "
            "positive number. Is the image empty there, or a CT? Set preprocess.source_intensity "
            "or preprocess.target_intensity to {name: window} for CT in HU"
        )
    return IntensityScale(0.0, factor)


def share_scale(
    source_scale: IntensityScale,
    source: np.ndarray,
    target: np.ndarray,
    mask: np.ndarray,
    *,
    where: str,
) -> IntensityScale:
    """The source's scale for a later scan of the same person, whose gain may differ.

    The gain is the median ratio of target to source: most of the patient does not change, so what
    does change moves it little.

    Args:
        source_scale: How the source was normalised.
        source: Shape ``(i, j, k)``; stored values.
        target: Same shape; stored values.
        mask: Boolean, same shape; where both have voxels of the patient.
        where: Names the scan in messages.

    Raises:
        VolumeReadError: If no ratio is positive.
    """
    used = mask & (source > 0)
    ratios = target[used].astype(np.float64) / source[used]
    gain = float(np.median(ratios)) if ratios.size else 0.0
    if not gain > 0:
        raise VolumeReadError(
            f"{where}: cannot be brought to the baseline's scale, its median ratio to it inside the"
            f" mask is {gain:g}. Is it empty there? See preprocess.mask and preprocess.align"
        )
    return IntensityScale(source_scale.offset * gain, source_scale.factor * gain, source_scale.unit)


def normalise(settings: IntensitySettings, stored: np.ndarray, scale: IntensityScale) -> np.ndarray:
    """Stored values to normalised ones, as float32; a window clips first.

    Args:
        settings: What made ``scale``.
        stored: Any shape, stored values.
        scale: From :func:`measure_scale`.

    Returns:
        Same shape; the background is 0.
    """
    if isinstance(settings, WindowIntensity):
        stored = np.clip(stored, settings.low_hu, settings.high_hu)
    return scale.normalise(stored)


def restore_stored(normalised: np.ndarray, scale: IntensityScale) -> np.ndarray:
    """Normalised values to stored ones, as float32; whole numbers come back whole.

    Several stored values may normalise to the same float32. If a round one is among them, a
    multiple of a power of two near ``factor / 2**20``, it is taken, so that integers survive the
    round trip exactly; else the nearest float32.

    Args:
        normalised: Any shape, float32.
        scale: What made the values.

    Returns:
        Same shape, in ``scale.unit``.

    Example:
        >>> scale = IntensityScale(-1024.0, 4095.0, "HU")
        >>> restore_stored(scale.normalise(np.array([-1024.0, 1.0, 37.0])), scale).tolist()
        [-1024.0, 1.0, 37.0]
    """
    stored = scale.restore(normalised)
    by_factor = np.float32(2.0 ** (np.ceil(np.log2(scale.factor)) - _ROUNDING_BITS))
    largest = np.maximum(np.abs(stored), np.abs(stored - np.float32(scale.offset)))
    step = np.clip(8 * np.spacing(largest), by_factor, 1)
    rounded = np.rint(stored / step) * step  # float32 suffices: every step is a power of two
    return np.where(scale.normalise(rounded) == normalised, rounded, stored)
