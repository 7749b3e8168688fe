"""Agreement of two segmentations, on boxes of known place and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from skimage.metrics import hausdorff_distance

from medtranslate.metrics.overlap import hausdorff_95, measure_agreement, surface_distances

SPACING = (1.5, 2.0, 3.1)


def box(start, size=(6, 5, 4), shape=(16, 15, 14)):
    region = np.zeros(shape, bool)
    region[tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))] = True
    return region


def blob(seed, shape=(20, 18, 16)):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return noise > np.quantile(noise, 0.8)


def surface_points(region, spacing):
    """Brute force: voxels of the region with a face neighbour outside, beyond the edge included."""
    padded = np.pad(region, 1)
    points = []
    for i, j, k in np.argwhere(padded):
        neighbours = [
            padded[i + 1, j, k], padded[i - 1, j, k], padded[i, j + 1, k],
            padded[i, j - 1, k], padded[i, j, k + 1], padded[i, j, k - 1],
        ]  # fmt: skip
        if not all(neighbours):
            points.append((np.array([i, j, k]) - 1) * spacing)
    return np.array(points)


@pytest.mark.parametrize(("axis", "voxels"), [(0, 2), (1, 2), (2, 2), (0, 3), (2, 1)])
def test_a_box_shifted_by_whole_voxels(axis, voxels):
    """More than 5 % of the surface lies on the far face, the shift away from the other box."""
    start = [4, 4, 4]
    reference = box(start)
    start[axis] += voxels

    found = measure_agreement(reference, box(start), spacing=SPACING)

    size = (6, 5, 4)[axis]
    np.testing.assert_allclose(found.dice, (size - voxels) / size)
    np.testing.assert_allclose(found.hd95_mm, voxels * SPACING[axis])
    np.testing.assert_allclose(found.reference_ml, 120 * 1.5 * 2.0 * 3.1 / 1000)
    assert found.difference_ml == found.difference_percent == 0


@pytest.mark.parametrize("seeds", [(0, 1), (2, 3), (4, 5)])
def test_hd95_is_the_larger_directed_percentile_of_brute_force(seeds):
    reference, prediction = map(blob, seeds)
    distances = cdist(*(surface_points(one, SPACING) for one in (reference, prediction)))
    directed = [np.percentile(distances.min(axis=axis), 95) for axis in (0, 1)]

    found = hausdorff_95(reference, prediction, spacing=SPACING)

    np.testing.assert_allclose(found, max(directed), rtol=1e-12)
    assert abs(directed[0] - directed[1]) > 0.1, "the two directions must differ to tell"


def test_the_farthest_surface_distance_is_the_hausdorff_distance_of_scikit_image():
    reference, prediction = blob(6), blob(7)
    surfaces = [np.zeros(reference.shape, bool) for _ in range(2)]
    for surface, region in zip(surfaces, (reference, prediction), strict=True):
        surface[tuple(surface_points(region, 1).astype(int).T)] = True

    there, back = surface_distances(reference, prediction, spacing=(1, 1, 1))

    np.testing.assert_allclose(max(there.max(), back.max()), hausdorff_distance(*surfaces))


def test_both_directions_count():
    """A speck far off is missed from the reference's side; seen from the prediction's it is far."""
    reference = box((4, 4, 4), size=(2, 2, 2))
    prediction = reference | box((12, 4, 4), size=(2, 2, 2))

    for pair in ((reference, prediction), (prediction, reference)):
        np.testing.assert_allclose(hausdorff_95(*pair, spacing=SPACING), 8 * SPACING[0])


def test_volume_differences_have_the_sign_of_the_prediction():
    reference, prediction = box((4, 4, 4), size=(4, 4, 4)), box((4, 4, 4), size=(4, 4, 5))
    voxel_ml = 1.5 * 2.0 * 3.1 / 1000

    larger = measure_agreement(reference, prediction, spacing=SPACING)
    smaller = measure_agreement(prediction, reference, spacing=SPACING)

    np.testing.assert_allclose(
        (larger.difference_ml, larger.difference_percent), (16 * voxel_ml, 25)
    )
    np.testing.assert_allclose(
        (smaller.difference_ml, smaller.difference_percent), (-16 * voxel_ml, -20)
    )


def test_a_label_that_neither_has_is_not_counted():
    empty = np.zeros((4, 5, 6), bool)

    assert measure_agreement(empty, empty, spacing=SPACING) is None


def test_a_label_that_one_side_has_is_missed_and_has_no_distance():
    full, empty = box((4, 4, 4)), np.zeros((16, 15, 14), bool)

    lost = measure_agreement(full, empty, spacing=SPACING)
    invented = measure_agreement(empty, full, spacing=SPACING)

    assert lost.dice == invented.dice == 0
    assert lost.hd95_mm is None
    assert invented.hd95_mm is None
    assert lost.difference_percent == -100
    assert invented.difference_percent is None
    np.testing.assert_allclose(invented.difference_ml, 120 * 1.5 * 2.0 * 3.1 / 1000)


def test_equal_regions_agree_wholly_even_where_they_fill_the_array():
    full = np.ones((4, 5, 6), bool)

    found = measure_agreement(full, full, spacing=SPACING)

    assert (found.dice, found.hd95_mm, found.difference_ml) == (1, 0, 0)


def test_arrays_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"shape \(4, 5, 7\), reference \(4, 5, 6\)"):
        measure_agreement(np.ones((4, 5, 6), bool), np.ones((4, 5, 7), bool), spacing=SPACING)
