from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medtranslate.metrics.trajectories import (
    LEVELS,
    compose,
    composition_error,
    count_reversals,
    jacobian_determinant,
    lies_within,
    measure_folding,
    place_in_samples,
)

SHAPE = (12, 11, 10)


def linear(matrix: list[list[float]]) -> np.ndarray:
    """Displacement of a linear map of voxel indices."""
    return np.tensordot(np.array(matrix), np.indices(SHAPE), axes=1).astype(float)


def test_the_jacobian_of_a_linear_map_is_its_determinant() -> None:
    matrix = [[0.1, 0.2, 0.0], [0.0, -0.3, 0.4], [0.05, 0.0, 0.2]]

    found = jacobian_determinant(linear(matrix))

    np.testing.assert_allclose(found, np.linalg.det(np.eye(3) + matrix))


def test_folds_are_counted_where_they_are() -> None:
    folded = np.zeros((3, *SHAPE))
    folded[1, :, 4:7] = [[0.0], [-4.0], [0.0]]
    mask = np.zeros(SHAPE, bool)
    mask[:, 6] = True

    determinant = jacobian_determinant(folded)

    np.testing.assert_allclose(measure_folding(folded), (determinant <= 0).mean())
    np.testing.assert_allclose(measure_folding(folded, mask=mask), 0.0)
    assert measure_folding(folded) > 0.05
    assert measure_folding(linear([[-1.0, 0, 0], [0, 0, 0], [0, 0, 0]])) == 1.0
    with pytest.raises(ValueError, match="mask is empty"):
        measure_folding(folded, mask=mask & False)


def test_composition_pulls_through_the_later_interval_first() -> None:
    shift = np.zeros((3, *SHAPE))
    shift[0] = 2.0
    stretch = linear([[0.1, 0, 0], [0, 0, 0], [0, 0, 0]])
    inner = np.zeros(SHAPE, bool)
    inner[:6] = True

    found = compose(stretch, shift)[0][inner]

    i = np.indices(SHAPE)[0][inner]
    np.testing.assert_allclose(found, 2.0 + 0.1 * (i + 2.0))
    np.testing.assert_allclose(compose(stretch, shift, mask=inner)[0], found)


def test_what_composition_leaves_is_a_distance_inside_the_mask() -> None:
    shift, away = np.zeros((3, *SHAPE)), np.zeros((3, *SHAPE))
    shift[0] = 2.0
    away[:, 3] = 0.3
    inner = np.zeros(SHAPE, bool)
    inner[2:4] = True

    still = composition_error(shift, shift, 2 * shift, mask=inner)
    error = composition_error(shift, shift, 2 * shift + away, mask=inner)

    assert (still.mean, still.largest) == (0, 0)
    np.testing.assert_allclose(error.largest, 0.3 * np.sqrt(3))
    np.testing.assert_allclose(error.mean, 0.15 * np.sqrt(3))
    with pytest.raises(ValueError, match="mask is empty"):
        composition_error(shift, shift, shift, mask=inner & False)


@pytest.mark.parametrize(
    ("volumes", "rising", "tolerance", "expected"),
    [
        ([1, 2, 3], True, 0.0, 0),
        ([3, 2, 1], True, 0.0, 2),
        ([3, 2, 1], False, 0.0, 0),
        ([1, 1, 1], True, 0.0, 0),
        ([1, 0.9, 2], True, 0.2, 0),
    ],
)
def test_steps_against_the_direction_are_counted(
    volumes: list[float], rising: bool, tolerance: float, expected: int
) -> None:
    assert count_reversals(volumes, rising=rising, tolerance=tolerance) == expected


def test_the_truth_takes_every_place_among_samples_equally_often() -> None:
    generator = np.random.default_rng(4)
    samples, reference = generator.normal(0, 1, (19, 8000)), generator.normal(0, 1, 8000)

    position = place_in_samples(samples, reference)

    counts = np.bincount(np.rint(20 * position - 0.5).astype(int), minlength=20)
    np.testing.assert_allclose(counts / 8000, 0.05, atol=0.01)
    for level in LEVELS:
        np.testing.assert_allclose(lies_within(position, level).mean(), level, atol=0.02)


def test_samples_half_as_wide_hold_the_truth_as_often_as_theory_says() -> None:
    generator = np.random.default_rng(4)
    narrow, reference = generator.normal(0, 0.5, (999, 4000)), generator.normal(0, 1, 4000)

    position = place_in_samples(narrow, reference)

    for level in LEVELS:
        expected = 2 * stats.norm.cdf(0.5 * stats.norm.ppf((1 + level) / 2)) - 1
        np.testing.assert_allclose(lies_within(position, level).mean(), expected, atol=0.03)


def test_places_are_counted_from_below_and_equals_are_shared() -> None:
    samples = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])

    found = place_in_samples(samples, np.array([0.0, 5.0]))

    np.testing.assert_allclose(found, [0.125, 0.5])


@pytest.mark.parametrize("shape", [(0, 3), (4, 2)])
def test_samples_that_do_not_fit_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1 sample"):
        place_in_samples(np.zeros(shape), np.zeros(3))
