"""Classes of intensity on phantoms whose classes are known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from medtranslate.errors import DatasetError
from medtranslate.metrics.tissues import find_tissues

SHAPE = (17, 14, 11)


def phantom(*, noise, seed=0):
    """Three tissues of unequal shares in a mask that is not the whole array."""
    generator = np.random.default_rng(seed)
    truth = generator.choice([1, 2, 3], size=SHAPE, p=[0.2, 0.5, 0.3])
    mask = np.zeros(SHAPE, bool)
    mask[2:15, 1:13, 3:10] = True
    scan = np.array([0.0, 0.2, 0.5, 0.9])[truth] + noise * generator.normal(size=SHAPE)
    return scan, mask, np.where(mask, truth, 0)


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_three_known_tissues_are_found_in_order_of_intensity(noise):
    scan, mask, truth = phantom(noise=noise)

    np.testing.assert_array_equal(find_tissues(scan, mask), truth)


@pytest.mark.parametrize("gain", [1.0, 700.0])
def test_gain_and_offset_change_nothing(gain):
    scan, mask, truth = phantom(noise=0.03)

    np.testing.assert_array_equal(find_tissues(gain * scan - 3, mask), truth)


def test_a_few_voxels_of_any_brightness_do_not_move_the_classes():
    scan, mask, truth = phantom(noise=0.03)
    spoilt = scan.copy()
    spoilt[5, 5, 5], spoilt[6, 6, 6] = 1e6, -1e6

    found = find_tissues(spoilt, mask)

    untouched = np.abs(spoilt) < 1e5
    np.testing.assert_array_equal(found[untouched], truth[untouched])
    assert (found[5, 5, 5], found[6, 6, 6]) == (3, 1)


def test_the_classes_are_the_best_three_means():
    """Against every way to cut sorted intensities in three: least squared distance to the means."""
    scan = np.random.default_rng(4).integers(0, 40, size=(6, 5, 4)).astype(float)
    scan.ravel()[:2] = 0, 255  # so that the 256 levels are the intensities themselves
    scan.ravel()[2:9] = 255, 255, 255, 0, 0, 150, 155
    mask = np.ones(scan.shape, bool)
    values = scan.ravel()

    def spread(cuts):
        classes = np.digitize(values, cuts, right=True)
        parts = [values[classes == n] for n in range(3)]
        return sum(((part - part.mean()) ** 2).sum() for part in parts)

    best = min(combinations(np.unique(values)[:-1], 2), key=spread)

    expected = 1 + np.digitize(scan, best, right=True)
    np.testing.assert_array_equal(find_tissues(scan, mask), expected)


def test_a_scan_of_two_values_is_refused():
    scan, mask, _ = phantom(noise=0.0)

    with pytest.raises(DatasetError, match=r"fewer than three intensities.*dseg"):
        find_tissues(np.minimum(scan, 0.5), mask)
