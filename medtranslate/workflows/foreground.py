"""Where the patient is, where nobody says."""

from __future__ import annotations

import numpy as np

from medtranslate.errors import DatasetError
from medtranslate.preprocess.masks import find_head, find_nonzero
from medtranslate.volume import Volume

_SOLID_SHARE = 0.5


def find_foreground(reference: Volume) -> np.ndarray:
    """Where the patient is, from the real scan alone.

    Voxels that are not 0 if they and the zeros form solid regions, as in skull-stripped scans;
    else Otsu's threshold after smoothing, largest component, holes filled.

    Args:
        reference: One channel, any orientation.

    Returns:
        Boolean, shape ``(i, j, k)``.

    Raises:
        DatasetError: If nothing stands out, as in a constant image.
    """
    voxels, spacing = reference.voxels, reference.geometry.spacing
    if _is_solid(voxels != 0) and _is_solid(voxels == 0):
        return find_nonzero(voxels, spacing)
    head = next(n for n, letter in enumerate(reference.geometry.orientation) if letter in "SI")
    upright = np.moveaxis(voxels, head, 2)
    order = [n for n in range(3) if n != head] + [head]
    mask = find_head(upright, (spacing[order[0]], spacing[order[1]], spacing[order[2]]))
    if not mask.any():
        raise DatasetError(
            "the reference has no foreground (is it constant?); give a mask, or check the file"
        )
    return np.moveaxis(mask, 2, head)


def _is_solid(region: np.ndarray) -> bool:
    """Whether most voxels of a region have only such neighbours; noise around 0 has not."""
    inner = region.copy()
    for axis in range(region.ndim):
        eroded, along = np.moveaxis(inner, axis, 0), np.moveaxis(region, axis, 0)
        eroded[1:] &= along[:-1]
        eroded[:-1] &= along[1:]
    return bool(np.count_nonzero(inner) > _SOLID_SHARE * np.count_nonzero(region))
