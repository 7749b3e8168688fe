import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu

from medtranslate.errors import VolumeReadError
from medtranslate.preprocess.masks import find_mask

SPACING = (1.0, 1.5, 2.5)


def ellipsoid(shape=(40, 30, 20), *, radii=(14.0, 12.0, 16.0), centre=(18.0, 20.0, 24.0)):
    place = np.indices(shape).reshape(3, -1).T * SPACING
    distance = (((place - centre) / radii) ** 2).sum(axis=1)
    return (distance < 1).reshape(shape)


def overlap(first, second):
    return 2 * np.count_nonzero(first & second) / (first.sum() + second.sum())


def test_nonzero_keeps_negative_voxels_and_fills_holes():
    truth = ellipsoid()
    voxels = np.where(truth, 300.0, 0.0)
    voxels[18, 13, 10] = 0.0
    edge = tuple(np.argwhere(truth)[0])
    voxels[edge] = -3.0
    np.testing.assert_array_equal(find_mask("nonzero", voxels, SPACING, where="x"), truth)


@pytest.mark.parametrize("density", [0.2, 0.5, 0.7, 0.9])
def test_holes_are_filled_as_scipy_fills_them(density):
    region = np.random.default_rng(1).random((14, 12, 10)) < density
    region[:, :2] = region[10:] = False

    found = find_mask("nonzero", region.astype(float), SPACING, where="x")

    np.testing.assert_array_equal(found, ndimage.binary_fill_holes(region))


def test_otsu_finds_the_head_despite_noise_hot_spots_and_dark_inside():
    truth = ellipsoid()
    rng = np.random.default_rng(0)
    voxels = np.where(truth, 400.0, 0.0) + np.abs(rng.normal(0, 25, truth.shape))
    voxels[ellipsoid(radii=(5, 4, 5))] = 10.0
    voxels[18, 9, 8] = 50_000.0
    voxels[34:39, 1:5, 1:4] = 900.0  # a marker in the air
    mask = find_mask("otsu", voxels, SPACING, where="x")
    assert overlap(mask, truth) > 0.93
    assert mask[18, 13, 10]
    assert not mask[36, 3, 2]


def test_otsu_fills_what_is_closed_within_an_axial_slice():
    voxels = np.zeros((40, 36, 30))
    voxels[6:34, 6:30, 4:26] = 100.0
    voxels[12:18, 12:18] = 0.0  # a tube that is open at both ends of the body
    voxels[24:30, 20:36] = 0.0  # a notch that is open within each slice
    found = find_mask("otsu", voxels, (4.0, 4.0, 4.0), where="x")

    assert found[15, 15, 5:25].all()
    assert not found[27, 28, 5:25].any()
    assert not found[2].any()
    np.testing.assert_array_equal(
        found, np.stack([ndimage.binary_fill_holes(found[:, :, k]) for k in range(30)], axis=2)
    )


@pytest.mark.parametrize("density", [0.4, 0.6, 0.8])
def test_otsu_keeps_the_largest_piece_and_fills_its_slices_as_scipy_does(density):
    region = np.random.default_rng(2).random((14, 12, 10)) < density
    labels, count = ndimage.label(region)
    largest = labels == 1 + np.argmax(ndimage.sum_labels(region, labels, range(1, count + 1)))

    found = find_mask("otsu", 100.0 * region, (1e3, 1e3, 1e3), where="x")

    slices = [ndimage.binary_fill_holes(largest[:, :, k]) for k in range(10)]
    np.testing.assert_array_equal(found, np.stack(slices, axis=2))


def test_otsu_works_on_ct_where_air_is_minus_1024():
    truth = ellipsoid()
    mask = find_mask("otsu", np.where(truth, 40.0, -1024.0), SPACING, where="x")
    assert overlap(mask, truth) > 0.93


def test_otsu_smooths_in_millimetres():
    # A 3 mm thick sheet: along the fine axis three voxels, along the coarse axis one.
    voxels = np.zeros((60, 60, 24))
    voxels[20:50, 20:50, 12] = 100.0
    thick = find_mask("otsu", voxels, (1.0, 1.0, 8.0), where="x")
    # 2 mm of smoothing cannot cross 8 mm.
    assert not thick[:, :, 11].any()
    assert thick[35, 35, 12]


@pytest.mark.parametrize("centre", [(18.0, 20.0, 24.0), (4.0, 38.0, 10.0)], ids=["inside", "cut"])
def test_otsu_smooths_the_rim_of_a_stripped_scan_as_scipy_does(centre):
    body = ellipsoid((60, 40, 24), radii=(9.0, 11.0, 8.0), centre=centre)
    voxels = np.where(body, np.random.default_rng(5).normal(80, 25, body.shape), 0)

    found = find_mask("otsu", voxels, SPACING, where="x")

    clipped = np.minimum(voxels, np.percentile(voxels, 99.5))
    smooth = ndimage.gaussian_filter(clipped, [2 / s for s in SPACING])
    np.testing.assert_array_equal(found, smooth > threshold_otsu(smooth))


def test_none_covers_everything():
    assert find_mask("none", np.zeros((2, 3, 4)), SPACING, where="x").all()


@pytest.mark.parametrize("name", ["nonzero", "otsu"])
def test_an_empty_mask_is_refused(name):
    with pytest.raises(VolumeReadError, match=f"sub-1.*'{name}' finds no voxel"):
        find_mask(name, np.zeros((5, 5, 5)), SPACING, where="sub-1")
