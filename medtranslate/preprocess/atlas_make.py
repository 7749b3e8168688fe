"""Makes the packaged brain template from the ICBM 2009a average that ships inside nilearn.

Run once, by hand: ``python -m medtranslate.preprocess.atlas_make FOLDER`` (needs the extra
``phantom``). The files in ``medtranslate/preprocess/template`` are what it wrote.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from einops import reduce
from scipy import ndimage

from medtranslate.errors import MissingExtraError
from medtranslate.geometry import Geometry
from medtranslate.io import write_volume
from medtranslate.preprocess.atlas import MASK_FILE, T1W_FILE
from medtranslate.volume import Volume

_FACTOR = 2
_MARGIN = 6


def thin_template(t1w: np.ndarray, affine: np.ndarray) -> tuple[Volume, Volume]:
    """Average blocks of 2x2x2 voxels and crop to the brain plus 6 voxels.

    Args:
        t1w: Shape ``(i, j, k)``; a skull-stripped T1w, 0 outside the brain, up to 255.
        affine: Shape ``(4, 4)``; voxel index to world position, RAS+, millimetres.

    Returns:
        The T1w (0..255) and its brain mask (0 or 1), both uint8 on the same grid.
    """
    even = t1w[tuple(slice(n // _FACTOR * _FACTOR) for n in t1w.shape)].astype(np.float64)
    blocks = "(i a) (j b) (k c) -> i j k"
    size = dict.fromkeys("abc", _FACTOR)
    share = reduce((even > 0).astype(np.float64), blocks, "mean", **size)
    mask = np.pad(ndimage.binary_fill_holes(share >= 0.5), _MARGIN)
    mean = np.pad(np.round(reduce(even, blocks, "mean", **size)), _MARGIN)
    inside = np.argwhere(mask)
    low, high = inside.min(axis=0) - _MARGIN, inside.max(axis=0) + 1 + _MARGIN
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    coarse = affine @ np.diag([_FACTOR, _FACTOR, _FACTOR, 1.0])
    first = _FACTOR * (low - _MARGIN) + (_FACTOR - 1) / 2
    coarse[:3, 3] = affine[:3, :3] @ first + affine[:3, 3]
    arrays = [np.where(mask, mean, 0).astype(np.uint8)[box], mask.astype(np.uint8)[box]]
    shape = (arrays[0].shape[0], arrays[0].shape[1], arrays[0].shape[2])
    image, brain = (Volume(a[None], Geometry(shape, coarse), "T1w") for a in arrays)
    return image, brain


def main(folder: Path) -> None:
    """Write both files into ``folder``.

    Raises:
        MissingExtraError: If nilearn is not installed.
    """
    try:
        from nilearn.datasets import load_mni152_template
    except ImportError as error:
        raise MissingExtraError("nilearn", "phantom") from error
    template = load_mni152_template(resolution=1)
    t1w = np.round(np.asarray(template.dataobj, dtype=np.float64) * 255)
    image, brain = thin_template(t1w, np.asarray(template.affine, dtype=np.float64))
    for name, volume in ((T1W_FILE, image), (MASK_FILE, brain)):
        write_volume(folder / name, volume, description="ICBM 152 2009a", dtype=np.dtype(np.uint8))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
