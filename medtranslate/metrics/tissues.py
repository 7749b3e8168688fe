"""Tissues of a scan by intensity alone, for data that comes without labels."""

from __future__ import annotations

import numpy as np
from skimage.filters import threshold_multiotsu

from medtranslate.errors import DatasetError

TISSUES = ("dark", "middle", "bright")
"""Names of the classes, in order of intensity: class 1 is the darkest."""

_TAILS = (0.5, 99.5)
_NUM_LEVELS = 256


def find_tissues(scan: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Divide the voxels of a mask into three classes by intensity.

    Multi-Otsu (Liao, Chen & Chung, J Inf Sci Eng 2001;17:713-727), which finds the best k-means
    clustering of the histogram (256 levels between the 0.5th and 99.5th percentile) by trying all,
    so that nothing depends on a start. Classes are intensities, not anatomy: in a T2w head
    ``bright`` holds CSF and eyes.

    Args:
        scan: Shape ``(i, j, k)``, any unit.
        mask: Boolean, same shape.

    Returns:
        Uint8, same shape: 0 outside the mask, 1 to 3 as in ``TISSUES``.

    Raises:
        DatasetError: If the mask holds fewer than three intensities.

    Example:
        >>> scan = np.array([[[9.0, 1.0, 5.0, 1.1, 5.2, 9.1, 7.0]]])
        >>> find_tissues(scan, scan != 7.0)
        array([[[3, 1, 2, 1, 2, 3, 0]]], dtype=uint8)
    """
    inside = scan[mask].astype(np.float64)
    ends = np.percentile(inside, _TAILS)
    levels = np.rint(np.interp(inside, ends, (0, _NUM_LEVELS - 1))).astype(np.uint8)
    if len(np.unique(levels)) < len(TISSUES):
        raise DatasetError(
            "the scan holds fewer than three intensities inside the mask, so no tissues can be told"
            " apart; check scan and mask, or add a segmentation (dseg) to the dataset"
        )
    classes = np.zeros(scan.shape, np.uint8)
    classes[mask] = 1 + np.digitize(levels, threshold_multiotsu(levels, len(TISSUES)), right=True)
    return classes
