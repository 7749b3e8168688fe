from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medtranslate.data.likeness import Thumbnail, compare_thumbnails, make_thumbnail
from medtranslate.geometry import Geometry
from medtranslate.volume import Volume

SPACING = (3.0, 2.0, 4.0)
SHAPE = (60, 90, 45)


def head(seed: int, *, scale: float = 1.0, size: float = 1.0) -> Volume:
    """A smooth pattern, another for each seed, in an ellipsoid."""
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = -80.0
    index = np.indices(SHAPE).astype(float)
    middle = np.array([30, 45, 22]).reshape(3, 1, 1, 1)
    radii = size * np.array([24, 37, 19]).reshape(3, 1, 1, 1)
    inside = (((index - middle) / radii) ** 2).sum(axis=0) < 1
    noise = np.random.default_rng(seed).normal(size=SHAPE)
    pattern = ndimage.gaussian_filter(noise, [4, 6, 3])
    values = inside * (60 + 25 * pattern / pattern.std()).clip(20, 130)
    return Volume((scale * values)[None], Geometry(SHAPE, affine))


def thumbnail(volume: Volume) -> Thumbnail:
    made = make_thumbnail(volume)
    assert made is not None
    return made


def test_a_scan_is_like_itself_whatever_its_scale() -> None:
    found = compare_thumbnails(thumbnail(head(1)), thumbnail(head(1, scale=7.0)))

    np.testing.assert_allclose(found.rank_correlation, 1.0, rtol=1e-6)
    np.testing.assert_allclose(found.volume_ratio, 1.0)
    np.testing.assert_allclose(found.information, 2.0, rtol=1e-6)


def test_another_head_shares_less_information() -> None:
    first, again, other = (thumbnail(head(seed)) for seed in (1, 1, 2))

    same, different = (compare_thumbnails(first, later) for later in (again, other))

    assert different.information < 1.4 < same.information
    assert abs(different.rank_correlation) < 0.8


def test_the_volume_is_in_millilitres() -> None:
    volume = thumbnail(head(3)).volume_ml
    radii_mm = np.array([24, 37, 19]) * SPACING

    np.testing.assert_allclose(volume, 4 / 3 * np.pi * np.prod(radii_mm) / 1000, rtol=0.02)
    ratio = compare_thumbnails(thumbnail(head(3)), thumbnail(head(3, size=0.8))).volume_ratio
    np.testing.assert_allclose(ratio, 0.8**3, rtol=0.03)


def test_a_shift_of_the_head_does_not_matter() -> None:
    volume = head(4)
    moved = Volume(np.roll(volume.array, (4, -5), axis=(1, 2)), volume.geometry)

    found = compare_thumbnails(thumbnail(volume), thumbnail(moved))

    assert found.rank_correlation > 0.98


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_nothing_has_no_thumbnail(value: float) -> None:
    geometry = Geometry(SHAPE, np.diag([*SPACING, 1.0]))

    assert make_thumbnail(Volume(np.full((1, *SHAPE), value), geometry)) is None
