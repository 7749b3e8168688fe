"""The common anatomy behind all phantoms: maps of the MNI152 template, as fields of the world."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage

from medtranslate.errors import MissingExtraError
from medtranslate.phantom.deformation import Displacement, shrinking_velocity
from medtranslate.phantom.fields import Field

_SIDE_PAD_MM = 24
_LOWER_PAD_MM = 48
_SKULL_CLOSING_MM = 12.0
_ATROPHY_SMOOTHING_MM = 4.0
_CORTEX_DEPTH_MM = 25.0
_COARSE_MM = 2.0


@dataclass(frozen=True, eq=False)
class Template:
    """Average anatomy, in world coordinates (RAS+ mm, MNI space).

    Attributes:
        grey: Fraction of grey matter, 0 to 1.
        white: Fraction of white matter, 0 to 1.
        brain: Brain with the fluid in and around it, 0 to 1.
        skull: Signed distance from the inner surface of the skull, millimetres; inside negative.
        ventricles: Distance from the ventricles, millimetres; 0 inside.
        atrophy: Velocity of at most 1 mm along which brain tissue gives way to fluid.
    """

    grey: Field
    white: Field
    brain: Field
    skull: Field
    ventricles: Field
    atrophy: Displacement


@lru_cache(maxsize=1)
def load_template() -> Template:
    """Build the template from the maps packaged with nilearn; nothing is downloaded.

    The template is cut off below the brain stem and shows no skull. It is continued downwards by
    its lowest slice; the inner surface of the skull is the brain mask with its folds closed.

    Raises:
        MissingExtraError: If nilearn is not installed.
    """
    try:
        from nilearn import datasets  # an extra, needed only to make phantoms
    except ImportError as error:
        raise MissingExtraError("nilearn", "phantom") from error
    grey = datasets.load_mni152_gm_template(resolution=1)
    white = datasets.load_mni152_wm_template(resolution=1)
    brain = datasets.load_mni152_brain_mask(resolution=1)
    return build_template(
        np.asarray(grey.dataobj), np.asarray(white.dataobj), np.asarray(brain.dataobj), grey.affine
    )


def build_template(
    grey: np.ndarray, white: np.ndarray, brain: np.ndarray, affine: np.ndarray
) -> Template:
    """Pad the maps and derive distances from them.

    Args:
        grey: Fraction of grey matter, 0 to 1, shape ``(i, j, k)``.
        white: Fraction of white matter, likewise.
        brain: Brain mask, 0 or 1, likewise.
        affine: Of a grid of 1 mm along RAS, shape ``(4, 4)``.
    """
    sides = (_SIDE_PAD_MM, _SIDE_PAD_MM)
    pad = (sides, sides, (_LOWER_PAD_MM, _SIDE_PAD_MM))
    origin = affine[:3, 3] - [low for low, _ in pad]
    grey, white, brain = (
        np.pad(part.astype(np.float32), pad, mode="edge") for part in (grey, white, brain)
    )
    total = np.maximum(grey + white, 1.0)
    grey, white = grey / total * brain, white / total * brain
    middle, tissue = _halve(Field(brain, origin, 1.0)), _halve(Field(grey + white, origin, 1.0))
    skull = _distance_to_skull(middle.values > 0.5)
    ventricles = (tissue.values < 0.5) & (skull < -_CORTEX_DEPTH_MM)
    return Template(
        grey=Field(grey, origin, 1.0),
        white=Field(white, origin, 1.0),
        brain=Field(brain, origin, 1.0),
        skull=replace(middle, values=skull),
        ventricles=replace(
            middle, values=middle.spacing * ndimage.distance_transform_edt(~ventricles)
        ),
        atrophy=shrinking_velocity(_halve(tissue), smoothing_mm=_ATROPHY_SMOOTHING_MM),
    )


def _halve(field: Field) -> Field:
    """The field on a grid of twice the spacing; each value is the mean of eight."""
    i, j, k = (n // 2 for n in field.values.shape)
    blocks = field.values[: 2 * i, : 2 * j, : 2 * k].reshape(i, 2, j, 2, k, 2)
    origin = field.origin + field.spacing / 2.0
    return Field(blocks.mean(axis=(1, 3, 5)), origin, 2.0 * field.spacing)


def _distance_to_skull(brain: np.ndarray) -> np.ndarray:
    """Signed distance from the brain with its folds closed, millimetres, on a grid of 2 mm."""
    radius = _SKULL_CLOSING_MM / _COARSE_MM
    dilated = ndimage.distance_transform_edt(~brain) <= radius
    closed = (ndimage.distance_transform_edt(dilated) > radius) | brain
    signed = ndimage.distance_transform_edt(~closed) - ndimage.distance_transform_edt(closed)
    smooth: np.ndarray = ndimage.gaussian_filter(_COARSE_MM * signed, 1.0)
    return smooth
