"""Pairs of scans for the tests of scoring."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medtranslate.geometry import Geometry
from medtranslate.volume import Volume


@pytest.fixture
def make_pair(make_affine):
    """Function that builds reference, prediction and mask; anisotropic and asymmetric."""

    def build(*, orientation="LAS", shape=(26, 23, 19), seed=0, unit="arbitrary"):
        generator = np.random.default_rng(seed)
        geometry = Geometry(shape, make_affine(orientation, spacing=(0.9, 1.3, 2.1)))
        grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
        mask = ((grid - np.array([0.1, -0.15, 0.2]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0) < 0.5
        texture = ndimage.gaussian_filter(generator.standard_normal(shape), 1.0)
        reference = np.where(mask, 700 + 900 * texture + 200 * grid[0], 20 + 5 * texture)
        noise = ndimage.gaussian_filter(generator.standard_normal(shape), 0.7)
        prediction = 0.93 * ndimage.gaussian_filter(reference, 0.8) + 60 * noise
        if unit == "HU":
            reference, prediction = reference - 700, prediction - 700
        modality = "CT" if unit == "HU" else "T2w"
        return (
            Volume(reference.astype(np.float32)[None], geometry, modality, unit),
            Volume(prediction.astype(np.float32)[None], geometry, modality, unit),
            mask,
        )

    return build
