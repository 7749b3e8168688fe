"""A volume that looks like a prediction: smooth tissue that fades out, nothing around it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medtranslate.geometry import Geometry
from medtranslate.volume import Volume
from medtranslate.watermark import WatermarkKey, add_watermark

SHAPE = (62, 70, 56)
AFFINE = np.array([[0.0, -1.1, 0.0, 30], [0, 0, 2.0, -40], [-1.3, 0, 0, 50], [0, 0, 0, 1]])
"""Axes run inferior, left and anterior: none stays where it is when turned to RAS."""

BACKGROUND = -5.0


@pytest.fixture(scope="session")
def key() -> WatermarkKey:
    """The key of the marked volume."""
    return WatermarkKey(bytes(range(32)))


@pytest.fixture(scope="session")
def stranger() -> WatermarkKey:
    """A key that marked nothing."""
    return WatermarkKey(bytes(range(1, 33)))


@pytest.fixture(scope="session")
def plain() -> Volume:
    """Float32, about 500 to 1000 inside an ellipsoid, ``BACKGROUND`` outside."""
    draw = np.random.default_rng(4)
    texture = gaussian_filter(draw.normal(size=SHAPE), 1.5)
    tissue = 500 + 120 * texture / texture.std() + 2 * draw.normal(size=SHAPE)
    grid = np.meshgrid(*(np.linspace(-1.2, 1.2, size) for size in SHAPE), indexing="ij")
    inside = np.clip(3 - 3 * sum(axis**2 for axis in grid), 0, 1)
    voxels = np.where(inside > 0, inside * tissue, BACKGROUND)
    return Volume(voxels.astype(np.float32)[None], Geometry(SHAPE, AFFINE))


@pytest.fixture(scope="session")
def marked(plain: Volume, key: WatermarkKey) -> Volume:
    """The same with the watermark."""
    return add_watermark(plain, key, background=BACKGROUND)
