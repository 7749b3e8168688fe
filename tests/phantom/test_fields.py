from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medtranslate.phantom.fields import (
    BOX_MM,
    Field,
    box_grid,
    grid_points,
    random_field,
    random_texture,
)


def test_a_linear_field_is_interpolated_exactly_in_world_coordinates() -> None:
    origin, spacing = np.array([-7.0, 11.0, 3.0]), 2.5
    x, y, z = grid_points((9, 8, 7), origin, spacing)
    field = Field(2.0 * x - 3.0 * y + 0.5 * z, origin, spacing)
    points = origin[:, None] + np.random.default_rng(0).uniform(0, 15, size=(3, 50))

    np.testing.assert_allclose(field.at(points), [2.0, -3.0, 0.5] @ points, atol=1e-9)


def test_beyond_its_grid_a_field_goes_on_with_its_nearest_value() -> None:
    field = Field(np.arange(8.0).reshape(2, 2, 2), np.zeros(3), 1.0)

    np.testing.assert_allclose(field.at(np.array([[-9.0], [9.0], [0.0]])), [2.0])


def test_the_box_is_covered_by_its_grid() -> None:
    shape, origin = box_grid(7.0)
    points = grid_points(shape, origin, 7.0)

    for axis, (low, high) in enumerate(BOX_MM):
        assert points[axis].min() == low
        assert high <= points[axis].max() < high + 7.0


@pytest.mark.parametrize("scale", [5.0, 9.0])
def test_a_random_field_has_unit_variance_and_the_stated_correlation(scale: float) -> None:
    field = random_field(np.random.default_rng(3), scale_mm=scale, spacing_mm=scale / 3)
    lag = 3

    here, there = field.values[:-lag].ravel(), field.values[lag:].ravel()

    assert abs(field.values.mean()) < 1e-9
    assert abs(field.values.var() - 1.0) < 1e-9
    # White noise smoothed by a Gaussian of width s correlates as exp(-d^2 / 4 s^2).
    assert abs(stats.pearsonr(here, there).statistic - np.exp(-0.25)) < 0.03


def test_a_texture_mixes_its_scales_with_equal_weight() -> None:
    texture = random_texture(np.random.default_rng(5), scales_mm=(6.0, 15.0))
    points = np.random.default_rng(1).uniform(-60, 60, size=(3, 400))

    expected = sum(part.at(points) for part in texture.parts) / np.sqrt(2)

    assert len(texture.parts) == 2
    np.testing.assert_allclose(texture.at(points), expected)
    assert 0.7 < texture.at(points).std() < 1.3


def test_the_same_generator_gives_the_same_field_and_another_one_another() -> None:
    fields = [random_field(np.random.default_rng(n), scale_mm=12.0).values for n in (1, 1, 2)]

    np.testing.assert_array_equal(fields[0], fields[1])
    assert abs(np.corrcoef(fields[0].ravel(), fields[2].ravel())[0, 1]) < 0.2
