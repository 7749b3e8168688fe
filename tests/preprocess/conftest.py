"""Pairs of small scans on disk: oblique, anisotropic, with background, whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.io import write_volume
from medtranslate.volume import Volume

SHAPE = (23, 18, 13)
SPACING = (1.1, 1.6, 2.7)


@pytest.fixture
def write_scan(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes voxels with an affine under a name."""

    def write(name: str, voxels: np.ndarray, affine: np.ndarray) -> Path:
        path = tmp_path / f"{name}.nii.gz"
        stored = np.asarray(voxels, dtype=np.float32)
        write_volume(path, Volume(stored[None], Geometry(stored.shape, affine)))
        return path

    return write


@pytest.fixture
def make_scan(
    make_volume: Callable[..., Volume], write_scan: Callable[..., Path]
) -> Callable[..., tuple[Path, Volume]]:
    """Function that writes an asymmetric scan of whole numbers with a background of 0."""

    def make(name: str = "source", **options: object) -> tuple[Path, Volume]:
        volume = make_volume(SHAPE, **({"spacing": SPACING} | options))
        whole = np.rint(volume.array)
        whole[:, :4] = 0
        whole[:, :, -2:] = 0
        return (
            write_scan(name, whole[0], volume.geometry.affine),
            Volume(whole, volume.geometry, volume.modality),
        )

    return make


@pytest.fixture
def world_points() -> Callable[..., np.ndarray]:
    """Function: positions of all voxel centres in mm, shape ``(3, i, j, k)``."""

    def points(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
        index = np.indices(shape).reshape(3, -1)
        return (affine[:3, :3] @ index + affine[:3, 3:]).reshape(3, *shape)

    return points


@pytest.fixture
def ramp() -> Callable[[np.ndarray], np.ndarray]:
    """Function: a value linear in place and different along every axis.

    Trilinear interpolation keeps it, so it tells where a voxel really lies.
    """

    def value(points: np.ndarray) -> np.ndarray:
        x, y, z = points
        return 1000.0 + 3.0 * x - 5.0 * y + 7.0 * z

    return value
