import numpy as np
import pytest
from scipy import ndimage

from medtranslate.preprocess.morphology import grow, keep_largest, shrink

# Whole numbers of voxels and other exact distances fall on 2, 5.3 and 6 mm: there ``<=`` decides.
SPACINGS = [
    (1.0, 1.0, 1.0),
    (0.5, 1.0, 2.0),
    (1.6, 0.4, 1.3),  # (1.6, 3 * 0.4): a root of exactly 2 of a square above 4
    (0.1 + 0.2, 0.6, 0.75),
    (0.9375, 0.9375, 3.0),
    (1.37, 0.83, 4.6),
]


def scatter(shape, *, density, seed=0):
    return np.random.default_rng(seed).random(shape) < density


@pytest.mark.parametrize("mm", [2.0, 5.3, 6.0])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("shape", [(19, 23, 17), (40, 3, 2)])
def test_growing_and_shrinking_are_thresholds_of_scipys_distance(shape, spacing, mm):
    region = scatter(shape, density=0.01, seed=4)
    distance = ndimage.distance_transform_edt(~region, sampling=spacing)

    np.testing.assert_array_equal(grow(region, mm, spacing), distance <= mm)
    np.testing.assert_array_equal(shrink(~region, mm, spacing), distance > mm)


def test_nothing_grows_from_nothing_and_the_unknown_beyond_takes_nothing_away():
    nothing = np.zeros((5, 4, 3), dtype=bool)

    np.testing.assert_array_equal(grow(nothing, 2.0, (1.0, 1.0, 1.0)), nothing)
    np.testing.assert_array_equal(shrink(~nothing, 2.0, (1.0, 1.0, 1.0)), ~nothing)


@pytest.mark.parametrize("density", [0.0, 0.2, 0.3, 1.0])
def test_the_piece_with_the_most_voxels_is_kept(density):
    region = scatter((14, 12, 10), density=density)
    region[:2] = False
    labels, count = ndimage.label(region)
    sizes = ndimage.sum_labels(region, labels, range(1, count + 1))

    largest = labels == 1 + np.argmax(sizes) if count else region

    np.testing.assert_array_equal(keep_largest(region), largest)
