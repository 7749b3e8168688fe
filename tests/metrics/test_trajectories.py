from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medtranslate.metrics.trajectories import (
    check_spread,
    compose,
    composition_error,
    count_reversals,
    jacobian_determinant,
    measure_folding,
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
    np.testing.assert_allclose(composition_error(shift, shift, 2 * shift, mask=inner), 0.0)
    error = composition_error(shift, shift, 2 * shift + 0.3, mask=inner)
    np.testing.assert_allclose(error, 0.3 * np.sqrt(3))


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


def test_honest_samples_cover_as_often_as_they_say_and_narrow_ones_do_not() -> None:
    generator = np.random.default_rng(4)
    centre = generator.normal(0, 5, 4000)
    samples, reference = centre + generator.normal(0, 1, (200, 4000)), centre
    reference = reference + generator.normal(0, 1, 4000)

    honest = check_spread(samples, reference)
    narrow = check_spread(centre + 0.5 * (samples - centre), reference)

    np.testing.assert_allclose(honest.coverages, honest.levels, atol=0.03)
    expected = [2 * stats.norm.cdf(0.5 * stats.norm.ppf((1 + q) / 2)) - 1 for q in narrow.levels]
    np.testing.assert_allclose(narrow.coverages, expected, atol=0.03)
    assert honest.error < 0.02 < 0.2 < narrow.error


@pytest.mark.parametrize("shape", [(1, 3), (4, 2)])
def test_samples_that_do_not_fit_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 2 samples"):
        check_spread(np.zeros(shape), np.zeros(3))
