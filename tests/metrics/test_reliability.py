"""Chances against how often they came true."""

import numpy as np
import pytest

from medtranslate.metrics.reliability import measure_reliability


def test_chances_that_come_true_as_often_as_they_say_have_no_error():
    generator = np.random.default_rng(3)
    chance = generator.uniform(0, 1, (40, 50, 60))
    true = generator.uniform(0, 1, chance.shape) < chance

    found = measure_reliability(chance, true)

    assert sum(found.counts) == chance.size
    np.testing.assert_allclose(found.chance, np.arange(0.05, 1, 0.1), atol=0.002)
    np.testing.assert_allclose(found.frequency, found.chance, atol=0.02)
    assert found.error < 0.01


def test_the_error_is_the_distance_weighted_by_voxels():
    chance = np.array([0.1] * 30 + [0.7] * 10)
    true = np.array([True] * 12 + [False] * 18 + [True] * 5 + [False] * 5)

    found = measure_reliability(chance, true)

    assert (found.counts[1], found.counts[7]) == (30, 10)
    assert (found.frequency[1], found.frequency[7]) == pytest.approx((0.4, 0.5))
    assert found.error == pytest.approx((30 * 0.3 + 10 * 0.2) / 40)
    assert np.isnan(found.frequency[0])


def test_what_is_certain_is_not_counted():
    found = measure_reliability(np.array([0.0, 1.0]), np.array([True, False]))

    assert sum(found.counts) == 0
    assert found.error is None


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="has shape"):
        measure_reliability(np.zeros(3), np.zeros(4, bool))
