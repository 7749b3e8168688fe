"""What the mark outlives, on a small volume, and what keys that marked nothing score."""

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from medtranslate.errors import VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume, write_volume
from medtranslate.volume import Volume
from medtranslate.watermark import NEEDED_SCORE, find_watermark
from medtranslate.watermark.detection import correlate, extract_signal


def test_the_right_key_finds_it_and_another_does_not(plain, marked, key, stranger):
    found = find_watermark(marked, key)
    assert found.found
    assert found.chance < 1e-12
    assert not find_watermark(marked, stranger).found
    before = find_watermark(plain, key)
    assert not before.found
    assert before.chance > 1e-4


@pytest.mark.parametrize(
    "change",
    [
        np.rint,
        lambda image: 0.37 * image + 12,
        lambda image: gaussian_filter(image, 0.7),
        lambda image: np.roll(image, (1, -1, 1), (0, 1, 2)),
        lambda image: image[5:-2, 4:-4, 3:],
        lambda image: np.pad(image, 9),
    ],
    ids=["rounded", "rescaled", "smoothed", "moved", "cropped", "padded"],
)
def test_it_outlives(marked, key, change):
    image = change(marked.voxels).astype(np.float32)
    geometry = Geometry(image.shape, marked.geometry.affine)
    assert find_watermark(Volume(image[None], geometry), key).score > NEEDED_SCORE


def test_it_outlives_rounding_and_a_program_that_turns_the_axes(marked, key, tmp_path):
    path = tmp_path / "a.nii.gz"
    write_volume(path, marked, dtype=np.int16)
    nibabel.save(nibabel.as_closest_canonical(nibabel.load(path)), path)
    turned = read_volume(path)
    assert turned.geometry.orientation == "RAS" != marked.geometry.orientation
    assert find_watermark(turned, key).found


def test_the_place_of_the_highest_score_tells_how_far_it_was_moved(marked, key):
    # The axes of the file run inferior, left and anterior; scores are counted along RAS.
    image = np.roll(marked.array, (3, -2, 4), (1, 2, 3))
    scores = correlate(extract_signal(Volume(image, marked.geometry)), key)
    place = np.unravel_index(scores.argmax(), scores.shape)
    signed = [int(n) - scores.shape[0] * (n > 64) for n in place]
    assert signed == [2, 4, -3]


def test_keys_that_marked_nothing_score_as_the_normal_distribution_says(marked, stranger):
    scores = correlate(extract_signal(marked), stranger)
    for edge in (-3, -1, 1, 3):
        np.testing.assert_allclose((scores > edge).mean(), norm.sf(edge), rtol=0.05)
    assert scores.max() < 6


@pytest.mark.parametrize(
    ("shape", "why"), [((7, 40, 40), "too small"), ((30, 30, 30), "same everywhere")]
)
def test_what_can_hold_no_watermark_is_refused(key, shape, why):
    with pytest.raises(VolumeReadError, match=why):
        find_watermark(Volume(np.full((1, *shape), 3.0), Geometry(shape, np.eye(4))), key)
