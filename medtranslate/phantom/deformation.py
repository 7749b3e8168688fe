"""Smooth one-to-one deformations of space, from stationary velocity fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medtranslate.phantom.fields import Field, random_field

_SMALL_STEP_VOXELS = 0.05


@dataclass(frozen=True, eq=False)
class Displacement:
    """A vector in millimetres at each point of a regular grid of the world.

    Attributes:
        vectors: Shape ``(3, i, j, k)``; displacement along world ``(x, y, z)``, millimetres.
        origin: World position of the first sample, shape ``(3,)``, millimetres.
        spacing: Distance between samples, millimetres.
    """

    vectors: np.ndarray
    origin: np.ndarray
    spacing: float

    def at(self, points: np.ndarray) -> np.ndarray:
        """Displacement at world positions ``points`` of shape ``(3, ...)``, same shape."""
        return np.stack(
            [Field(part, self.origin, self.spacing).at(points) for part in self.vectors]
        )

    def move(self, points: np.ndarray) -> np.ndarray:
        """Where each of ``points`` goes, shape ``(3, ...)``, millimetres."""
        moved: np.ndarray = points + self.at(points)
        return moved

    def jacobian(self) -> np.ndarray:
        """Determinant of the map's derivative at each sample, shape ``(i, j, k)``.

        1 keeps the volume, less shrinks; zero or less would fold space.
        """
        gradients = np.stack([np.stack(np.gradient(part, self.spacing)) for part in self.vectors])
        matrices = np.moveaxis(gradients, (0, 1), (-2, -1)) + np.eye(3)
        determinant: np.ndarray = np.linalg.det(matrices)
        return determinant


def integrate_velocity(velocity: Displacement) -> Displacement:
    """Displacement after following a stationary velocity for unit time.

    Scaling and squaring (Arsigny et al., MICCAI 2006): ``exp(v) = exp(v / 2^n)^(2^n)``, where each
    squaring composes the map with itself, and ``n`` makes the first step a small part of a voxel.
    The flow of a smooth velocity is one-to-one, and that of ``-v`` is its inverse.
    """
    longest = float(np.abs(velocity.vectors).max()) / velocity.spacing
    squarings = max(0, int(np.ceil(np.log2(max(longest, 1e-9) / _SMALL_STEP_VOXELS))))
    vectors = velocity.vectors / 2.0**squarings
    index = np.stack(np.meshgrid(*[np.arange(n) for n in vectors.shape[1:]], indexing="ij"))
    for _ in range(squarings):
        target = index + vectors / velocity.spacing
        vectors = vectors + np.stack(
            [ndimage.map_coordinates(part, target, order=1, mode="nearest") for part in vectors]
        )
    return Displacement(vectors, velocity.origin, velocity.spacing)


def random_velocity(
    generator: np.random.Generator, *, scale_mm: float, amplitude_mm: float
) -> Displacement:
    """Smooth random velocity whose components have standard deviation ``amplitude_mm``."""
    parts = [
        random_field(generator, scale_mm=scale_mm, spacing_mm=scale_mm / 4.0) for _ in range(3)
    ]
    vectors = amplitude_mm * np.stack([part.values for part in parts])
    return Displacement(vectors, parts[0].origin, parts[0].spacing)


def shrinking_velocity(tissue: Field, *, smoothing_mm: float) -> Displacement:
    """Velocity that looks outward across the border of ``tissue``; sampling along it shrinks it.

    ``v = -grad(G * tissue)``, scaled to a largest length of 1 mm: it points from tissue to fluid,
    so that an image sampled at ``x + v(x)`` has its border moved inward; in the bulk it vanishes.

    Args:
        tissue: Fraction of tissue, 0 to 1.
        smoothing_mm: Standard deviation of the Gaussian ``G``, millimetres.
    """
    smooth = ndimage.gaussian_filter(tissue.values, smoothing_mm / tissue.spacing, mode="nearest")
    vectors = -np.stack(np.gradient(smooth, tissue.spacing))
    vectors /= np.sqrt((vectors**2).sum(axis=0)).max()
    return Displacement(vectors, tissue.origin, tissue.spacing)


def rotation(degrees: np.ndarray) -> np.ndarray:
    """Matrix ``(3, 3)`` of rotations about x, then y, then z by ``degrees`` of shape ``(3,)``."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        first, second = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix
