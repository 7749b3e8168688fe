"""Scans in memory, and the scale that takes stored values to normalised ones and back."""

from __future__ import annotations

import numpy as np
import pytest

from medtranslate.errors import GeometryError
from medtranslate.geometry import Geometry
from medtranslate.volume import CT_SCALE, IntensityScale, Volume


def test_an_array_of_another_shape_than_its_grid_is_refused() -> None:
    with pytest.raises(GeometryError, match=r"expected .channels, 4, 3, 2"):
        Volume(np.zeros((1, 2, 3, 4), np.float32), Geometry((4, 3, 2), np.eye(4)))


def test_voxels_are_the_first_channel() -> None:
    array = np.arange(48, dtype=np.float32).reshape(2, 2, 3, 4)

    voxels = Volume(array, Geometry((2, 3, 4), np.eye(4))).voxels

    np.testing.assert_array_equal(voxels, np.arange(24).reshape(2, 3, 4))


def test_normalised_is_stored_less_offset_over_factor() -> None:
    stored = np.array([-1024.0, 0.0, 3071.0])

    np.testing.assert_allclose(CT_SCALE.normalise(stored), [0.0, 1024 / 4095, 1.0], rtol=1e-6)


def test_restoring_undoes_normalising() -> None:
    stored = np.random.default_rng(3).normal(300, 80, 1000).astype(np.float32)
    scale = IntensityScale(-17.0, 412.5)

    np.testing.assert_allclose(scale.restore(scale.normalise(stored)), stored, atol=1e-4)


def test_normalised_values_are_float32() -> None:
    assert CT_SCALE.normalise(np.arange(3)).dtype == np.float32
    assert CT_SCALE.restore(np.arange(3)).dtype == np.float32


@pytest.mark.parametrize(
    ("offset", "factor"), [(0.0, 0.0), (0.0, -1.0), (np.nan, 1.0), (0.0, np.inf)]
)
def test_a_scale_that_cannot_be_undone_is_refused(offset: float, factor: float) -> None:
    with pytest.raises(ValueError, match="finite offset and a positive factor"):
        IntensityScale(offset, factor)


def test_a_scale_survives_json() -> None:
    scale = IntensityScale(-1000.0, 2000.0, "HU")

    assert IntensityScale.from_json(scale.to_json()) == scale


@pytest.mark.parametrize("data", [{}, {"Offset": 0, "Factor": 1}, {"Offset": None, "Factor": 1}])
def test_a_scale_with_a_part_missing_is_refused(data: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needs Offset, Factor and Unit"):
        IntensityScale.from_json(data)
