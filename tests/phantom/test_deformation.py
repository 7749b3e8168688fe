from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import linalg

from medtranslate.phantom.deformation import (
    Displacement,
    integrate_velocity,
    random_velocity,
    rotation,
    shrinking_velocity,
)
from medtranslate.phantom.fields import Field, grid_points

ORIGIN = np.array([-24.0, -20.0, -28.0])
SHAPE = (25, 21, 29)
SPACING = 2.0
INNER = (slice(8, -8),) * 3


def linear(matrix: np.ndarray) -> Displacement:
    """Displacement ``matrix @ x`` on a grid around the origin."""
    points = grid_points(SHAPE, ORIGIN, SPACING)
    return Displacement(np.tensordot(matrix, points, axes=1), ORIGIN, SPACING)


def test_the_jacobian_of_a_linear_map_is_its_determinant() -> None:
    matrix = np.array([[0.1, 0.2, 0.0], [-0.1, 0.05, 0.3], [0.0, 0.1, -0.2]])

    np.testing.assert_allclose(
        linear(matrix).jacobian(), np.linalg.det(np.eye(3) + matrix), rtol=1e-9
    )


def test_following_a_constant_velocity_shifts_by_it() -> None:
    vectors = np.broadcast_to(np.reshape([3.0, -1.0, 2.0], (3, 1, 1, 1)), (3, *SHAPE)).copy()

    moved = integrate_velocity(Displacement(vectors, ORIGIN, SPACING))

    np.testing.assert_allclose(moved.vectors, vectors, rtol=1e-12)


def test_following_a_linear_velocity_is_the_matrix_exponential() -> None:
    matrix = np.array([[0.05, 0.2, 0.0], [-0.2, 0.05, 0.0], [0.0, 0.03, -0.15]])
    points = grid_points(SHAPE, ORIGIN, SPACING)

    moved = integrate_velocity(linear(matrix)).move(points)

    expected = np.tensordot(linalg.expm(matrix), points, axes=1)
    np.testing.assert_allclose(moved[:, *INNER], expected[:, *INNER], atol=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_strong_random_flows_do_not_fold_where_plain_displacement_does(seed: int) -> None:
    velocity = random_velocity(np.random.default_rng(seed), scale_mm=20.0, amplitude_mm=10.0)

    assert velocity.jacobian().min() < 0.0
    assert integrate_velocity(velocity).jacobian().min() > 0.0


def test_the_opposite_velocity_undoes_the_deformation() -> None:
    velocity = random_velocity(np.random.default_rng(2), scale_mm=22.0, amplitude_mm=3.0)
    forward = integrate_velocity(velocity)
    backward = integrate_velocity(replace(velocity, vectors=-velocity.vectors))
    points = np.random.default_rng(0).uniform(-50, 50, size=(3, 200))

    moved = forward.move(points)

    assert np.abs(moved - points).max() > 2.0
    np.testing.assert_allclose(backward.move(moved), points, atol=0.2)


def test_sampling_along_the_shrinking_velocity_shrinks_a_ball() -> None:
    points = grid_points((41, 41, 41), np.full(3, -40.0), 2.0)
    radius = np.sqrt((points**2).sum(axis=0))
    ball = Field(np.clip(0.5 + (25.0 - radius) / 2.0, 0.0, 1.0), np.full(3, -40.0), 2.0)

    velocity = shrinking_velocity(ball, smoothing_mm=4.0)
    shrunk = ball.at(integrate_velocity(velocity).move(points))

    length = np.sqrt((velocity.vectors**2).sum(axis=0))
    assert abs(length.max() - 1.0) < 1e-12
    assert length[20, 20, 20] < 1e-3
    # One millimetre off a radius of 25 mm.
    np.testing.assert_allclose(shrunk.sum() / ball.values.sum(), (24 / 25) ** 3, rtol=0.01)


def test_rotations_turn_right_handedly_about_x_then_y_then_z() -> None:
    np.testing.assert_allclose(rotation(np.array([0, 0, 90.0])) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation(np.array([90.0, 0, 0])) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    matrix = rotation(np.array([10.0, -20.0, 35.0]))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert abs(np.linalg.det(matrix) - 1.0) < 1e-12
