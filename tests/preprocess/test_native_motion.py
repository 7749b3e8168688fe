import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.preprocess.native_motion import carry_displacement, carry_image, pull


@pytest.fixture
def flipped(oblique_volume):
    """The same world on a grid whose axes run the other way round and are permuted."""
    shape, affine = oblique_volume.geometry.shape, oblique_volume.geometry.affine
    swap = np.zeros((4, 4))
    swap[0, 1] = swap[1, 0] = swap[3, 3] = 1
    swap[2, 2], swap[2, 3] = -1, shape[2] - 1
    return Geometry((shape[1], shape[0], shape[2]), affine @ swap)


def test_an_image_lands_where_it_lies_in_the_world(oblique_volume, flipped):
    carried = carry_image(oblique_volume.voxels, oblique_volume.geometry, flipped)

    expected = np.transpose(oblique_volume.voxels, (1, 0, 2))[:, :, ::-1]
    np.testing.assert_allclose(carried, expected, rtol=1e-4, atol=1e-2)


def test_a_displacement_keeps_its_direction_in_the_world(oblique_volume, flipped):
    grid = oblique_volume.geometry
    displacement = np.zeros((3, *grid.shape))
    displacement[1] = 2.0

    field = carry_displacement(displacement, grid, flipped)

    expected = 2.0 * grid.affine[:3, 1]
    inner = field[:, 1:-1, 1:-1, 1:-1].reshape(3, -1)
    np.testing.assert_allclose(inner, np.repeat(expected[:, None], inner.shape[1], 1), atol=1e-4)


def test_a_field_of_whole_voxels_shifts_the_scan_to_the_bit(oblique_volume):
    geometry, voxels = oblique_volume.geometry, oblique_volume.voxels
    field = np.zeros((3, *geometry.shape), np.float32)
    field[:] = (2 * geometry.affine[:3, 0] - geometry.affine[:3, 2])[:, None, None, None]

    moved = pull(voxels, field, geometry)

    np.testing.assert_allclose(moved[:-2, :, 1:], voxels[2:, :, :-1], rtol=1e-3, atol=1e-2)


def test_where_nothing_moves_voxels_stay_to_the_bit(oblique_volume):
    field = np.zeros((3, *oblique_volume.geometry.shape), np.float32)
    field[0, 0, 0, 0] = 3.0

    moved = pull(oblique_volume.voxels, field, oblique_volume.geometry)

    np.testing.assert_array_equal(moved.ravel()[1:], oblique_volume.voxels.ravel()[1:])
