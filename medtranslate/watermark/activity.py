"""How much goes on around each voxel: there a watermark is neither seen nor far from the noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter

_SIGMA_VOXELS = 2.0
_TRUNCATE = 3.0
_CALM = 1e-3
_CEILING = 2.5
_SAMPLE = 100_000
_BACKGROUND_SHARE = 0.1
_SAME = 1e-5
_RIM_VOXELS = 2


@dataclass(frozen=True, eq=False)
class Activity:
    """What is left of a volume without its coarse shapes, and how strong that is.

    Attributes:
        detail: Shape ``(i, j, k)``, float32; the volume minus its local mean, 0 where nothing is
            shown.
        deviation: Same shape; local standard deviation of what is shown.
        depth: Same shape; from 0 at the border of what is shown to 1 away from it.
        typical: Median deviation where there is any; 0 for a volume that is the same everywhere.
    """

    detail: np.ndarray
    deviation: np.ndarray
    depth: np.ndarray
    typical: float

    @property
    def capacity(self) -> np.ndarray:
        """How strong a mark each voxel takes: as its deviation, up to a ceiling at edges."""
        capped: np.ndarray = np.minimum(self.deviation, np.float32(_CEILING * self.typical))
        return capped


def measure_activity(voxels: np.ndarray, shown: np.ndarray) -> Activity:
    """Split a volume into what is coarse and what is not; the border of what is shown is no edge.

    Args:
        voxels: Shape ``(i, j, k)``, finite.
        shown: Boolean, same shape; False in the background.
    """
    image, weight = voxels.astype(np.float32), shown.astype(np.float32)
    share = np.where(shown, _smooth(weight), np.float32(1))
    depth = np.square(np.clip(2 * share - 1, 0, 1)) * weight
    detail = (image - _smooth(image * weight) / share) * weight
    deviation = np.sqrt(_smooth(detail * detail) / share) * weight
    active = deviation[deviation > _CALM * np.abs(image).max()]
    typical = float(np.median(active)) if active.size else 0.0
    return Activity(detail, deviation, depth, typical)


def find_shown(voxels: np.ndarray) -> np.ndarray:
    """Where a volume shows anything: everywhere but in and beside the one value of a background.

    Args:
        voxels: Shape ``(i, j, k)``, finite.
    """
    sample = voxels.reshape(-1)[:: max(1, voxels.size // _SAMPLE)]
    values, counts = np.unique(sample, return_counts=True)
    commonest = values[counts.argmax()]
    tolerance = _SAME * (float(voxels.max()) - float(voxels.min()))
    shown: np.ndarray = np.abs(voxels - commonest) > tolerance
    if 1 - shown.mean() < _BACKGROUND_SHARE:
        return np.ones(voxels.shape, bool)
    eroded: np.ndarray = binary_erosion(shown, iterations=_RIM_VOXELS, border_value=1)
    return eroded


def _smooth(image: np.ndarray) -> np.ndarray:
    smooth: np.ndarray = gaussian_filter(image, _SIGMA_VOXELS, truncate=_TRUNCATE)
    return smooth
