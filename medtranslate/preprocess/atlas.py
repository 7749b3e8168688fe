"""Where the brain is in a T1w scan with or without skull, from a packaged average brain."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from medtranslate.errors import VolumeReadError
from medtranslate.io import read_mask, read_volume
from medtranslate.preprocess.atlas_fit import Template, carry, fit_template
from medtranslate.preprocess.morphology import Spacing, fill_holes, grow, keep_largest, shrink
from medtranslate.volume import Volume

T1W_FILE = "tpl-ICBM152_res-2_desc-brain_T1w.nii.gz"
MASK_FILE = "tpl-ICBM152_res-2_desc-brain_mask.nii.gz"

_TEMPLATE = Path(__file__).with_name("template")
_MAX_MISFIT = 0.45
_FAR_MM = 5.0
_DEEP_MM = -4.0
_NECK_MM = -45.0
_NECK_FAR_MM = 1.0
_OPENING_MM = 2.0
_CLOSING_MM = 6.0
_RIM_MM = 0.7
_DARK_SHARE = 0.4
_BRIGHT_SHARE = 1.3


def find_brain(volume: Volume) -> np.ndarray:
    """Brain with its inner and sulcal fluid, without skull, scalp, eyes and neck.

    The ICBM 152 average brain is registered (12 parameters) onto the scan; within 5 mm of its
    outline the scan's own intensity decides. Repeatable to the bit for any number of threads.

    Args:
        volume: T1w of a whole head or a skull-stripped brain; any grid and orientation.

    Returns:
        Boolean, shape ``(i, j, k)``, on the volume's grid; one piece without holes.

    Raises:
        VolumeReadError: If nothing in the scan looks like a brain in T1w.
    """
    template = load_template()
    fit = fit_template(volume, template)
    if fit.misfit > _MAX_MISFIT:
        raise VolumeReadError(
            f"no brain found in a volume of {volume.geometry.describe()}: the average T1w brain "
            f"fits with a misfit of {fit.misfit:.2f}, expected at most {_MAX_MISFIT}. Is it a T1w "
            "of a whole head with the right voxel size? Use another preprocess.mask, or give a "
            "mask (preprocess.mask: given)"
        )
    grid = volume.geometry
    back = np.linalg.inv(template.affine) @ np.linalg.inv(fit.world) @ grid.affine
    box, distance = carry(_lower_neck(template), back, grid.shape, below=_FAR_MM + _CLOSING_MM)
    brain = np.zeros(grid.shape, dtype=bool)
    brain[box] = _follow_intensity(volume.voxels[box], distance, grid.spacing)
    return brain


@cache
def load_template() -> Template:
    """The packaged ICBM 152 average T1w brain, 2 mm; see ``template/LICENSE.txt``."""
    image = read_volume(_TEMPLATE / T1W_FILE, modality="T1w")
    brain = read_mask(_TEMPLATE / MASK_FILE, like=image.geometry)
    spacing = image.geometry.spacing
    outside = ndimage.distance_transform_edt(~brain, sampling=spacing)
    inside = ndimage.distance_transform_edt(brain, sampling=spacing)
    affine = image.geometry.affine
    centre = affine[:3, :3] @ np.argwhere(brain).mean(axis=0) + affine[:3, 3]
    return Template(image.voxels.astype(np.float64), outside - inside, affine, centre)


def _lower_neck(template: Template) -> np.ndarray:
    """The template's distance from its brain; below the brain less than elsewhere is near it."""
    outline = template.distance_mm.copy()
    low = round((_NECK_MM - template.affine[2, 3]) / template.affine[2, 2])
    outline[:, :, :low] += np.where(outline[:, :, :low] > 0, _FAR_MM - _NECK_FAR_MM, 0)
    return outline


def _follow_intensity(voxels: np.ndarray, distance: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Keep what is as bright as brain near the template's outline, as one smooth piece."""
    tissue = _find_tissue(voxels, distance)
    opened = grow(keep_largest(shrink(tissue, _OPENING_MM, spacing)), _OPENING_MM, spacing) & tissue
    closed = shrink(grow(opened, _CLOSING_MM, spacing), _CLOSING_MM - _RIM_MM, spacing)
    return fill_holes(keep_largest(closed & (distance < _FAR_MM)))


def _find_tissue(voxels: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Deep voxels, and near ones neither dark as bone nor bright as fat."""
    deep = distance < _DEEP_MM
    near = distance < _FAR_MM
    dark, inside = np.percentile(voxels[near], 2), voxels[deep]
    low = dark + _DARK_SHARE * (np.median(inside) - dark)
    high = _BRIGHT_SHARE * np.percentile(inside, 95)
    tissue: np.ndarray = deep | (near & (voxels > low) & (voxels < high))
    return tissue
