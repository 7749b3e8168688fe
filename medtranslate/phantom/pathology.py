"""Lesions like those of multiple sclerosis: where they lie and how far they reach."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from medtranslate.phantom.anatomy import Template
from medtranslate.phantom.deformation import rotation
from medtranslate.phantom.fields import Texture

_REACH = 3.0


@dataclass(frozen=True, eq=False)
class Lesion:
    """An ellipsoid of damaged white matter with an irregular border.

    Attributes:
        centre: Position in MNI space, shape ``(3,)``, millimetres.
        radii: Half axes, shape ``(3,)``, millimetres.
        axes: Rotation of the half axes, shape ``(3, 3)``.
    """

    centre: np.ndarray
    radii: np.ndarray
    axes: np.ndarray


def draw_lesions(
    generator: np.random.Generator, template: Template, *, number: int
) -> tuple[Lesion, ...]:
    """Lesions at random places in white matter, mostly near the ventricles.

    Args:
        generator: Source of randomness.
        template: Anatomy; lesions lie in its coordinates.
        number: How many, 0 or more.
    """
    step = 2
    white = template.white.values[::step, ::step, ::step]
    corner = template.white.origin
    index = np.argwhere(white > 0.75)
    points = corner[:, None] + step * template.white.spacing * index.T
    distance = template.ventricles.at(points)
    weight = np.exp(-distance / 6.0) + 0.03 * (template.skull.at(points) > -20.0)
    weight *= (points[2] > -15.0) & (distance > 1.0)
    chosen = generator.choice(len(index), size=number, replace=False, p=weight / weight.sum())
    lesions = []
    for centre in points.T[chosen]:
        radius = np.clip(generator.lognormal(np.log(3.4), 0.4), 1.8, 8.0)
        radii = radius * np.exp(generator.uniform(-0.45, 0.45, size=3))
        turn = rotation(generator.uniform(-90.0, 90.0, size=3))
        lesions.append(Lesion(centre + generator.uniform(-1.0, 1.0, size=3), radii, turn))
    return tuple(lesions)


def scale_lesions(lesions: tuple[Lesion, ...], factor: float) -> tuple[Lesion, ...]:
    """The same lesions with all half axes multiplied by ``factor``."""
    return tuple(replace(lesion, radii=factor * lesion.radii) for lesion in lesions)


def lesion_cover(
    lesions: tuple[Lesion, ...], points: np.ndarray, texture: Texture, *, border_mm: float
) -> np.ndarray:
    """How far each voxel lies in any lesion, 0 to 1.

    Args:
        lesions: In MNI space.
        points: Position of each voxel in MNI space, shape ``(3, i, j, k)``, millimetres.
        texture: Field that makes the borders irregular.
        border_mm: Width over which a border fades.

    Returns:
        Shape ``(i, j, k)``. Growing radii never lower it.
    """
    cover = np.zeros(points.shape[1:])
    for lesion in lesions:
        offset = points - lesion.centre[:, None, None, None]
        near = (offset**2).sum(axis=0) < (_REACH * lesion.radii.max()) ** 2
        local = lesion.axes.T @ offset[:, near] / lesion.radii[:, None]
        radius = np.sqrt((local**2).sum(axis=0))
        irregular = radius * np.exp(0.25 * np.clip(texture.at(points[:, near]), -2.5, 2.5))
        inside = 0.5 + (1.0 - irregular) * lesion.radii.mean() / border_mm
        cover[near] = np.maximum(cover[near], np.clip(inside, 0.0, 1.0))
    return cover
