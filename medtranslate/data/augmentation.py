"""Random changes that make few people stand for many: shared shape, input-only contrast."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandBiasFieldd,
    RandFlipd,
    RandGaussianNoised,
    RandGridDistortiond,
    RandScaleIntensityd,
    RandSimulateLowResolutiond,
    Transform,
)
from pydantic import Field
from torch import Tensor

from medtranslate.settings import Settings

_IMAGES = ("source", "ranks", "target")


class AugmentationSettings(Settings):
    """How strongly training patches are changed; probability 0 turns a change off."""

    flip_probability: float = Field(
        0.5, ge=0, le=1, description="Mirror left and right (first axis), source and target alike."
    )
    affine_probability: float = Field(
        0.7, ge=0, le=1, description="Rotate, scale and shear source and target alike."
    )
    rotation_degrees: float = Field(12.0, ge=0, le=180, description="Largest rotation, each axis.")
    scaling: float = Field(0.15, ge=0, lt=1, description="Largest relative change of size.")
    deformation_probability: float = Field(
        0.3, ge=0, le=1, description="Bend source and target alike on a coarse grid."
    )
    deformation: float = Field(0.15, ge=0, lt=0.5, description="Largest shift in grid cells.")
    contrast_probability: float = Field(
        0.5, ge=0, le=1, description="Change gamma and scale of the source only."
    )
    gamma: float = Field(1.15, ge=1, description="Largest gamma; the smallest is its inverse.")
    bias_probability: float = Field(0.3, ge=0, le=1, description="Shade the source only.")
    bias: float = Field(0.2, ge=0, description="Largest coefficient of the shading.")
    noise_probability: float = Field(0.3, ge=0, le=1, description="Add noise to the source only.")
    noise: float = Field(0.03, ge=0, description="Largest standard deviation of the noise.")
    blur_probability: float = Field(
        0.1, ge=0, le=1, description="Lower the resolution of the source only."
    )


def build_augmentation(settings: AugmentationSettings) -> Compose:
    """Random transforms for dictionaries with ``source``, ``ranks``, ``target`` and ``mask``.

    Spatial changes are shared by all (the mask by nearest neighbour); shading, noise and blur touch
    the source and its ranks, contrast the source alone, because ranks do not depend on it, and
    nothing the target, which is the truth. Seed the result with ``set_random_state``.
    """
    shown = ("source", "ranks")
    shared = {"images": "bilinear", "mask": "nearest"}
    return Compose(
        [
            _stack,
            *_change_shape(settings, shared),
            _unstack,
            RandAdjustContrastd(
                "source",
                prob=settings.contrast_probability,
                gamma=(1 / settings.gamma, settings.gamma),
            ),
            RandScaleIntensityd("source", factors=0.05, prob=settings.contrast_probability),
            RandBiasFieldd(
                shown, degree=2, prob=settings.bias_probability, coeff_range=(0.0, settings.bias)
            ),
            RandGaussianNoised(shown, prob=settings.noise_probability, std=settings.noise),
            RandSimulateLowResolutiond(
                shown, prob=settings.blur_probability, zoom_range=(0.4, 1.0)
            ),
        ]
    )


def _stack(patch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is interpolated alike as channels of one image: half the time of one by one."""
    return {"images": torch.cat([patch[key] for key in _IMAGES]), "mask": patch["mask"]}


def _unstack(patch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    images = dict(zip(_IMAGES, torch.split(patch["images"], 1), strict=True))
    return images | {"mask": patch["mask"]}


def build_shape_augmentation(settings: AugmentationSettings, modes: Mapping[str, str]) -> Compose:
    """Random changes of shape alone, shared by all images: for scans whose values are compared.

    Args:
        settings: How strongly; what changes the source alone is not used.
        modes: Key of each image to its interpolation, ``bilinear`` or ``nearest``.
    """
    return Compose(_change_shape(settings, modes))


def _change_shape(settings: AugmentationSettings, modes: Mapping[str, str]) -> list[Transform]:
    keys, interpolation = tuple(modes), tuple(modes.values())
    radians = (settings.rotation_degrees * 3.141592653589793 / 180,) * 3
    return [
        RandFlipd(keys, prob=settings.flip_probability, spatial_axis=0),
        RandAffined(
            keys,
            prob=settings.affine_probability,
            rotate_range=radians,
            scale_range=(settings.scaling,) * 3,
            shear_range=(settings.scaling / 3,) * 3,
            mode=interpolation,
            padding_mode="zeros",
        ),
        RandGridDistortiond(
            keys,
            num_cells=3,
            prob=settings.deformation_probability,
            distort_limit=(-settings.deformation, settings.deformation),
            mode=interpolation,  # type: ignore[arg-type]  # MONAI takes one mode a key; its hint says one
            padding_mode="zeros",
        ),
    ]
