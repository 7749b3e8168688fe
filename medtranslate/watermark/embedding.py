"""Put a watermark into a volume: strong where much goes on, none in the background."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medtranslate.errors import VolumeWriteError
from medtranslate.volume import Volume
from medtranslate.watermark.activity import measure_activity
from medtranslate.watermark.axes import from_ras, to_ras
from medtranslate.watermark.key import WatermarkKey
from medtranslate.watermark.pattern import draw_pattern, spread

STRENGTH_DB = 52.0
"""How far the mark's mean power lies below the square of the range of what is not background."""

_PERCENTILE = 99.5


def add_watermark(
    volume: Volume, key: WatermarkKey, *, background: float, strength_db: float = STRENGTH_DB
) -> Volume:
    """Put a key's pattern into a volume.

    A voxel ``v`` of activity ``a`` becomes ``v + s a p``, where ``p`` is the pattern and ``s`` sets
    the root mean square of the mark to ``R / 10^(strength_db / 20)``; ``R`` is how far the 99.5th
    percentile of what is not background lies above it. No value leaves the range of the volume.

    Args:
        volume: One channel of floating-point numbers, finite.
        key: Whose mark it is.
        background: Value of the voxels in which nothing is shown; they stay as they are.
        strength_db: Less is stronger.

    Raises:
        VolumeWriteError: If the volume holds whole numbers or labels, or nothing but background.
    """
    voxels = volume.voxels
    if voxels.dtype.kind != "f" or volume.unit == "label":
        raise VolumeWriteError(
            f"a volume of {voxels.dtype} numbers ({volume.unit}) takes no watermark: labels and"
            " whole numbers must stay as they are. Leave --watermark out"
        )
    shown = voxels != background
    mark = _shape_mark(volume, shown, key)
    power = float(np.square(mark[shown], dtype=np.float64).mean()) if shown.any() else 0.0
    if power == 0:
        raise VolumeWriteError(
            "the volume is the same everywhere outside the background, so a watermark would be"
            " seen. Leave --watermark out"
        )
    reach = float(np.percentile(voxels[shown], _PERCENTILE)) - background
    step = np.float32(reach * 10 ** (-strength_db / 20) / np.sqrt(power))
    marked = np.clip(voxels + step * mark, voxels.min(), voxels.max()).astype(voxels.dtype)
    return replace(volume, array=marked[None])


def _shape_mark(volume: Volume, shown: np.ndarray, key: WatermarkKey) -> np.ndarray:
    """The pattern on the volume's own axes, as strong as each voxel takes it."""
    affine = volume.geometry.affine
    activity = measure_activity(to_ras(volume.voxels, affine), to_ras(shown, affine))
    return from_ras(activity.capacity * spread(draw_pattern(key), activity.detail.shape), affine)
