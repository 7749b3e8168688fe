import numpy as np

from medtranslate.networks.nearness import measure_nearness

SPACING = (1.0, 2.0, 4.0)


def test_nearness_falls_with_the_distance_in_millimetres():
    region = np.zeros((9, 9, 9), bool)
    region[4, 4, 4] = True

    nearness = measure_nearness(region, SPACING, reach_mm=10.0)

    np.testing.assert_allclose(nearness[6, 4, 4], 1 - 1.5 / 10, atol=1e-6)
    np.testing.assert_allclose(nearness[4, 4, 5], 1 - 3.5 / 10, atol=1e-6)
    np.testing.assert_allclose(nearness[4, 4, 4], 1 + 0.5 / 10, atol=1e-6)


def test_above_one_is_inside():
    region = np.random.default_rng(0).random((9, 8, 7)) > 0.6

    nearness = measure_nearness(region, SPACING, reach_mm=10.0)

    np.testing.assert_array_equal(nearness > 1, region)


def test_no_region_is_far_everywhere():
    assert not measure_nearness(np.zeros((4, 4, 4), bool), SPACING, reach_mm=10.0).any()
