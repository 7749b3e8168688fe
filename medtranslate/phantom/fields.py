"""Smooth random fields: the source of all spatial variety in a phantom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

BOX_MM = ((-100.0, 100.0), (-138.0, 110.0), (-90.0, 112.0))
"""World box, in millimetres along ``(x, y, z)``, that holds a head and its surroundings."""


@dataclass(frozen=True, eq=False)
class Field:
    """A scalar sampled on a regular grid of the world.

    Attributes:
        values: Shape ``(i, j, k)``.
        origin: World position of the first voxel, millimetres, shape ``(3,)``.
        spacing: Distance between samples, millimetres, the same along each axis.
    """

    values: np.ndarray
    origin: np.ndarray
    spacing: float

    def at(self, points: np.ndarray) -> np.ndarray:
        """Linear interpolation at ``points``; beyond the grid its nearest value goes on.

        Args:
            points: Shape ``(3, ...)``; world positions, millimetres.

        Returns:
            Shape of ``points`` without its first axis, float64.
        """
        origin = self.origin.reshape((3,) + (1,) * (points.ndim - 1))
        index = (points - origin) / self.spacing
        sampled: np.ndarray = ndimage.map_coordinates(
            self.values, index, output=np.float64, order=1, mode="nearest"
        )
        return sampled


def box_grid(spacing_mm: float) -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape and origin of a grid of ``spacing_mm`` over :data:`BOX_MM`."""
    i, j, k = (int(np.ceil((high - low) / spacing_mm)) + 1 for low, high in BOX_MM)
    return (i, j, k), np.array([low for low, _ in BOX_MM])


def random_field(
    generator: np.random.Generator, *, scale_mm: float, spacing_mm: float | None = None
) -> Field:
    """Gaussian random field of zero mean and unit variance over the head's box.

    White noise is smoothed by a Gaussian of standard deviation ``scale_mm``; structures are then
    about ``2.5 * scale_mm`` wide.

    Args:
        generator: Source of randomness.
        scale_mm: Standard deviation of the smoothing, millimetres.
        spacing_mm: Distance between samples; 0.6 of the scale if None.
    """
    spacing = 0.6 * scale_mm if spacing_mm is None else spacing_mm
    shape, origin = box_grid(spacing)
    values = ndimage.gaussian_filter(
        generator.standard_normal(shape), scale_mm / spacing, mode="wrap"
    )
    values -= values.mean()
    return Field(values / values.std(), origin, spacing)


@dataclass(frozen=True, eq=False)
class Texture:
    """A random field with structure at several scales, of about zero mean and unit variance."""

    parts: tuple[Field, ...]

    def at(self, points: np.ndarray) -> np.ndarray:
        """Value at ``points``, shape ``(3, ...)`` to ``(...)``; as :meth:`Field.at`."""
        total = np.zeros(points.shape[1:])
        for part in self.parts:
            total += part.at(points)
        mixed: np.ndarray = total / np.sqrt(len(self.parts))
        return mixed


def random_texture(generator: np.random.Generator, *, scales_mm: tuple[float, ...]) -> Texture:
    """Texture of equal variance at each of ``scales_mm`` (see :func:`random_field`)."""
    return Texture(tuple(random_field(generator, scale_mm=scale) for scale in scales_mm))


def grid_points(shape: tuple[int, int, int], origin: np.ndarray, spacing: float) -> np.ndarray:
    """World positions of all voxels of a regular grid, shape ``(3, i, j, k)``, millimetres."""
    axes = [start + spacing * np.arange(n) for start, n in zip(origin, shape, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))
