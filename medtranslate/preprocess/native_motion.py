"""A motion found on the model grid, applied to the scan's own voxels in one interpolation."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from medtranslate.geometry import Geometry

_STILL_MM = 1e-4


def carry_image(image: np.ndarray, grid: Geometry, onto: Geometry) -> np.ndarray:
    """An image of one grid at the voxel centres of another, linearly; 0 outside.

    Args:
        image: Shape ``grid.shape``.
        grid: Where the image lies.
        onto: Where it is wanted.

    Returns:
        Float32, ``onto.shape``.
    """
    return _sample(image, np.linalg.solve(grid.affine, onto.affine), onto.shape)


def carry_displacement(displacement: np.ndarray, grid: Geometry, onto: Geometry) -> np.ndarray:
    """A displacement in voxels of one grid as millimetres on another.

    Args:
        displacement: Shape ``(3, *grid.shape)``, voxels along the axes of ``grid``.
        grid: Where it was found.
        onto: Where it is wanted.

    Returns:
        Float32, shape ``(3, *onto.shape)``, millimetres along the RAS+ axes of the world; 0 outside
        ``grid``.
    """
    world = np.tensordot(grid.affine[:3, :3], displacement.astype(np.float64), axes=1)
    return np.stack([carry_image(part, grid, onto) for part in world])


def pull(voxels: np.ndarray, field_mm: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Move a scan along a field: ``result(x) = scan(x + field(x))``, linearly, once.

    A voxel whose field is shorter than a ten-thousandth of a millimetre keeps its value to the bit.
    Beyond the border the scan goes on with its border value.

    Args:
        voxels: Shape ``geometry.shape``.
        field_mm: Shape ``(3, *geometry.shape)``, millimetres, RAS+.
        geometry: Of both.

    Returns:
        Shape and type of ``voxels``, which must be a floating type.
    """
    steps = np.tensordot(np.linalg.inv(geometry.affine[:3, :3]), field_mm.astype(np.float64), 1)
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij")) + steps
    moved = ndimage.map_coordinates(voxels, index, order=1, mode="nearest")
    still = (np.abs(field_mm) < _STILL_MM).all(axis=0)
    result: np.ndarray = np.where(still, voxels, moved.astype(voxels.dtype))
    return result


def _sample(image: np.ndarray, index_map: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    sampled: np.ndarray = ndimage.affine_transform(
        image.astype(np.float64),
        index_map[:3, :3],
        offset=index_map[:3, 3],
        output_shape=shape,
        order=1,
        mode="grid-constant",
    )
    return sampled.astype(np.float32)
