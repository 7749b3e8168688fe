"""Removal of the smooth bias field of MR images."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from einops import rearrange

from medtranslate.geometry import Geometry
from medtranslate.preprocess.masks import find_head
from medtranslate.preprocess.registration import single_thread, to_simpleitk

_FITTING_SPACING_MM = 5.0
_ITERATIONS = (25, 25, 15)


def correct_bias(voxels: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Divide by the bias field that N4 finds on a coarser grid.

    Args:
        voxels: Shape ``(i, j, k)``; an MR image. Values that are not positive are left alone
            while fitting, because N4 takes logarithms.
        geometry: Where the voxels lie.

    Returns:
        Same shape, float32; the mean inside the head is kept. Repeatable to the bit.

    References:
        Tustison et al., IEEE Trans. Medical Imaging 29:1310, 2010.
    """
    head = find_head(voxels, geometry.spacing) & (voxels > 0)
    if not head.any():
        return voxels.astype(np.float32)
    image = to_simpleitk(voxels.astype(np.float32), geometry.affine)
    mask = to_simpleitk(head.astype(np.uint8), geometry.affine)
    factors = [
        max(1, min(round(_FITTING_SPACING_MM / s), n // 8))
        for s, n in zip(image.GetSpacing(), image.GetSize(), strict=True)
    ]
    with single_thread():
        n4 = sitk.N4BiasFieldCorrectionImageFilter()
        n4.SetMaximumNumberOfIterations(list(_ITERATIONS))
        n4.Execute(sitk.Shrink(image, factors), sitk.Shrink(mask, factors))
        field = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image))
    corrected = voxels / np.exp(rearrange(field.astype(np.float64), "k j i -> i j k"))
    gain = voxels[head].mean(dtype=np.float64) / corrected[head].mean(dtype=np.float64)
    result: np.ndarray = (corrected * gain).astype(np.float32)
    return result
