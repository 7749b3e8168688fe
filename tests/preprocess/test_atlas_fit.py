"""What the fit of the average brain computes on: a carried distance, means of blocks, levels."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medtranslate.preprocess import atlas_fit
from medtranslate.preprocess.atlas_fit import carry


def make_distance():
    """How far each voxel lies outside a longish body; at the border of the array it is above 3."""
    place = np.moveaxis(np.indices((30, 36, 26)), 0, -1) - (14.0, 19.0, 12.0)
    return np.linalg.norm(place * (1.0, 0.8, 1.2), axis=-1) - 8.0


def turn_back(middle, *, degrees=40):
    """From a finer grid, turned and with the body at ``middle``, to that of the distance."""
    back = np.eye(4)
    axis = np.array([0.6, -0.64, 0.48])
    back[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * axis).as_matrix()
    back[:3, :3] *= (0.5, 0.8, 0.7)
    back[:3, 3] = np.array([14.0, 19.0, 12.0]) - back[:3, :3] @ middle
    return back


@pytest.mark.parametrize("degrees", [0, 40])
@pytest.mark.parametrize(
    "middle",
    [(22.4, 16.0, 18.0), (3.0, 16.0, 18.3), (22.0, 30.0, 1.0), (58.0, -1.0, 36.0)],
    ids=["whole", "cut at i", "cut at j and k", "a corner"],
)
def test_box_of_a_turned_distance_holds_all_that_is_below_the_limit(middle, degrees):
    distance, back, shape = make_distance(), turn_back(middle, degrees=degrees), (48, 34, 39)

    box, carried = carry(distance, back, shape, below=3.0)

    everywhere = ndimage.affine_transform(
        distance, back[:3, :3], back[:3, 3], output_shape=shape, order=1, mode="nearest"
    )
    assert box == ndimage.find_objects((everywhere < 3.0).astype(np.uint8))[0]
    below = np.minimum(everywhere[box], 3.0)
    np.testing.assert_allclose(np.minimum(carried, 3.0), below, rtol=0, atol=1e-9)


@pytest.mark.parametrize("middle", [(-60.0, 16.0, 18.0), (22.0, 54.0, 40.0)])
def test_nothing_is_carried_onto_a_grid_that_lies_elsewhere(middle):
    box, carried = carry(make_distance(), turn_back(middle), (48, 34, 39), below=3.0)

    assert carried.size == 0
    np.testing.assert_array_equal(np.ones((48, 34, 39))[box].size, 0)


def test_means_of_blocks_lie_where_their_blocks_do():
    affine = np.array([[0.0, 0.9, 0, 7], [-0.6, 0, 0, 9], [0, 0, 2.5, -4], [0, 0, 0, 1]])

    def ramp(affine, shape):
        """A linear function of the world position: its mean over a block is its middle value."""
        index = np.moveaxis(np.indices(shape), 0, -1)
        return (index @ affine[:3, :3].T + affine[:3, 3]) @ (1.0, -3.0, 0.2)

    shrunk = atlas_fit._shrink(atlas_fit._Scan(ramp(affine, (11, 9, 5)), affine))

    assert shrunk.voxels.shape == (3, 4, 5)
    np.testing.assert_allclose(shrunk.voxels, ramp(shrunk.affine, (3, 4, 5)), atol=1e-12)


def test_smoothing_what_is_kept_is_keeping_what_was_smoothed():
    voxels = np.random.default_rng(0).normal(size=(20, 17, 14))

    thin = atlas_fit._smooth(voxels, np.array([2.0, 1.5, 0.7]), [3, 2, 1])

    smooth = ndimage.gaussian_filter(voxels, (2.0, 1.5, 0.7))
    np.testing.assert_array_equal(thin, smooth[::3, ::2])
