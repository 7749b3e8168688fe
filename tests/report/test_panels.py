"""Slices turned for viewing: whichever way the file runs, the picture is the same."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.report.panels import cut_slice, find_window
from medtranslate.volume import Volume

SHAPE = (14, 17, 11)


@pytest.fixture
def ras_image(make_affine):
    """A scan stored RAS whose voxels all differ, and a mask off centre."""
    voxels = 1.0 + np.arange(np.prod(SHAPE), dtype=np.float64).reshape(SHAPE)
    mask = np.zeros(SHAPE, bool)
    mask[1:12, 2:16, 2:9] = True
    return voxels, mask, make_affine("RAS", spacing=(1.0, 2.0, 3.0))


def restore(image, affine, codes):
    """Array and affine as a file with these axis codes would hold them, by nibabel."""
    change = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
    turned = nibabel.orientations.apply_orientation(image, change)
    return turned, affine @ nibabel.orientations.inv_ornt_aff(change, image.shape)


def cut(voxels, mask, affine, *, axis, index):
    geometry = Geometry(voxels.shape, affine)
    protocol = Protocol(scale="none", data_range=1.0, axis=axis)
    yardstick = make_yardstick(Volume(voxels[None], geometry), mask, protocol)
    prediction = yardstick.bring(voxels + 1, scale=None)
    return cut_slice(
        yardstick, geometry, index=index, psnr=9.0, prediction=prediction, source=-voxels
    )


@pytest.mark.parametrize(
    ("axis", "voxel_axis", "rows", "sides", "aspect"),
    [
        ("axial", 2, "R", ("R", "L"), 2.0),
        ("coronal", 1, "R", ("R", "L"), 3.0),
        ("sagittal", 0, "A", ("A", "P"), 1.5),
    ],
)
def test_the_picture_is_the_same_in_all_48_orientations(
    ras_image, orientation, axis, voxel_axis, rows, sides, aspect
):
    voxels, mask, affine = ras_image
    middle = SHAPE[voxel_axis] // 2
    stored, stored_affine = restore(voxels, affine, tuple(orientation))
    stored_mask, _ = restore(mask, affine, tuple(orientation))
    place = {"axial": "IS", "coronal": "PA", "sagittal": "LR"}[axis]
    along = next(n for n, letter in enumerate(orientation) if letter in place)
    forward = orientation[along] in "RAS"
    index = middle if forward else SHAPE[voxel_axis] - 1 - middle

    found = cut(stored, stored_mask, stored_affine, axis=axis, index=index)

    plane = np.take(voxels, middle, axis=voxel_axis).T[::-1, ::-1]
    shown = np.take(mask, middle, axis=voxel_axis).T[::-1, ::-1]
    np.testing.assert_array_equal(found.reference[found.mask], plane[shown])
    np.testing.assert_array_equal(found.prediction, found.reference + 1)
    np.testing.assert_array_equal(found.source, -found.reference)
    assert (found.sides, found.aspect) == (sides, pytest.approx(aspect))
    assert rows == sides[0]


def test_an_axial_picture_has_the_front_at_the_top_and_the_right_on_the_left(ras_image):
    voxels, mask, affine = ras_image
    marked = np.ones_like(voxels)
    marked[10, 14, :] = 100.0  # RAS: far to the right and to the front

    found = cut(marked, mask, affine, axis="axial", index=5)

    row, column = np.unravel_index(np.argmax(found.reference), found.reference.shape)
    assert row < found.reference.shape[0] / 2
    assert column < found.reference.shape[1] / 2


def test_a_small_slice_is_enlarged_but_never_cut(ras_image):
    voxels, mask, affine = ras_image
    mask[:, :, 3] = False
    mask[4:6, 3:6, 3] = True

    small, large = (cut(voxels, mask, affine, axis="axial", index=k) for k in (3, 5))

    assert np.count_nonzero(small.mask) == 2 * 3
    assert small.mask.size < large.mask.size


def test_the_window_of_mr_starts_at_nothing_and_all_share_one_error_scale(make_picture):
    shown = [make_picture(index=1, error=0.1), make_picture(index=2, error=-0.34)]

    found = find_window(shown, is_ct=False, ct_low=-1024.0)

    assert found.low == 0.0
    assert 0.9 < found.high <= 1.0
    assert found.error == pytest.approx(0.5)


def test_the_window_of_ct_is_fixed_in_hu(make_picture):
    found = find_window([make_picture(error=37.0)], is_ct=True, ct_low=-1024.0)

    assert (found.low, found.high) == (774.0, 2024.0)
    assert found.error == pytest.approx(50.0)


def test_no_error_at_all_still_has_a_scale(make_picture):
    assert find_window([make_picture(error=0.0)], is_ct=False, ct_low=0.0).error == 1.0
