"""What a swelling tumour pushes aside: a deformation within the skull, at the cost of fluid."""

from __future__ import annotations

import numpy as np
from scipy.sparse import linalg

from medtranslate.phantom.growth import make_domain

_TOLERANCE = 1e-6


def swelling_velocity(
    expansion: np.ndarray, room: np.ndarray, skull: np.ndarray, *, spacing_mm: float
) -> np.ndarray:
    """Velocity without rotation whose divergence is the swelling, and that stops at the skull.

    ``v = grad phi`` with ``laplace phi = expansion - c * room`` inside the skull and no flow
    through it; ``c`` makes the sum 0, since what swells can only take the room of fluid. The flow
    of ``v`` for unit time multiplies volumes by ``exp`` of the divergence that they meet.

    Args:
        expansion: Logarithm of the volume change of each voxel, shape ``(i, j, k)``.
        room: How much of each voxel can give way, 0 to 1, same shape.
        skull: Boolean, same shape; what lies inside the skull.
        spacing_mm: Size of the cubic voxels, millimetres.

    Returns:
        Shape ``(3, i, j, k)``, millimetres for unit time; 0 outside the skull.

    Raises:
        ValueError: If there is no room within the skull.
    """
    given = np.where(skull, room, 0.0)
    if not given.any():
        raise ValueError("there is no room within the skull; a tumour cannot swell")
    source = np.where(skull, expansion, 0.0)
    source = source - given * (source.sum() / given.sum())
    domain = make_domain(skull.astype(float), spacing=(spacing_mm,) * 3)
    solved, _ = linalg.cg(-domain.spreading, -source[skull], rtol=_TOLERANCE)
    potential = np.zeros(skull.shape)
    potential[skull] = solved
    return np.stack([_slope(potential, skull, axis) / spacing_mm for axis in range(3)])


def _slope(potential: np.ndarray, skull: np.ndarray, axis: int) -> np.ndarray:
    """Mean of the differences across both faces of a voxel; a closed face counts as 0."""
    values, inside = np.moveaxis(potential, axis, 0), np.moveaxis(skull, axis, 0)
    step = np.where(inside[1:] & inside[:-1], np.diff(values, axis=0), 0.0)
    slope = np.zeros(values.shape)
    slope[1:] += 0.5 * step
    slope[:-1] += 0.5 * step
    return np.moveaxis(slope, 0, axis)
