from dataclasses import replace

import numpy as np
import pytest

from medtranslate.errors import VolumeWriteError
from medtranslate.volume import Volume
from medtranslate.watermark import STRENGTH_DB, add_watermark

from .conftest import BACKGROUND


def test_the_mark_is_as_weak_as_it_says(plain, marked):
    shown = plain.voxels != BACKGROUND
    reach = np.percentile(plain.voxels[shown], 99.5) - BACKGROUND
    power = np.square(marked.voxels - plain.voxels, dtype=np.float64)[shown].mean()
    np.testing.assert_allclose(10 * np.log10(reach**2 / power), STRENGTH_DB, atol=0.05)


def test_background_type_and_range_stay(plain, marked):
    outside = plain.voxels == BACKGROUND
    np.testing.assert_array_equal(marked.voxels[outside], np.float32(BACKGROUND))
    assert marked.array.dtype == np.float32
    assert marked.geometry is plain.geometry
    assert marked.voxels.min() == plain.voxels.min()
    assert marked.voxels.max() <= plain.voxels.max()


def test_where_more_goes_on_the_mark_is_stronger(plain, key):
    voxels = plain.voxels.copy()
    calm, lively = np.s_[16:26, 25:45, 18:38], np.s_[36:46, 25:45, 18:38]
    voxels[12:30, 21:49, 14:42] = 500 + voxels[12:30, 21:49, 14:42] / 20
    marked = add_watermark(replace(plain, array=voxels[None]), key, background=BACKGROUND)
    change = np.abs(marked.voxels - voxels)
    assert change[lively].mean() > 5 * change[calm].mean()
    assert change[calm].mean() > 0


def test_the_same_key_gives_the_same_bits_and_another_does_not(plain, marked, key, stranger):
    again = add_watermark(plain, key, background=BACKGROUND)
    other = add_watermark(plain, stranger, background=BACKGROUND)
    np.testing.assert_array_equal(again.array, marked.array)
    assert (other.array != marked.array).mean() > 0.2


@pytest.mark.parametrize(
    ("dtype", "unit"), [(np.int16, "arbitrary"), (np.uint8, "label"), (np.float32, "label")]
)
def test_whole_numbers_and_labels_are_refused(plain, key, dtype, unit):
    volume = Volume(plain.array.astype(dtype), plain.geometry, unit=unit)
    with pytest.raises(VolumeWriteError, match="Leave --watermark out"):
        add_watermark(volume, key, background=0)


@pytest.mark.parametrize("value", [BACKGROUND, 7.0])
def test_a_volume_that_shows_nothing_is_refused(plain, key, value):
    volume = replace(plain, array=np.full_like(plain.array, value))
    with pytest.raises(VolumeWriteError, match="same everywhere"):
        add_watermark(volume, key, background=BACKGROUND)
