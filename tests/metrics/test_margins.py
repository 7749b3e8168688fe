import numpy as np
import pytest

from medtranslate.metrics.margins import distance_from, distance_within, measure_margins

SPACING = (1.0, 1.0, 2.0)


@pytest.fixture
def region():
    mask = np.zeros((31, 31, 21), bool)
    mask[15, 15, 10] = True
    return mask


def test_distances_are_millimetres_of_anisotropic_voxels(region):
    distance = distance_from(region, SPACING)

    assert distance[15, 15, 13] == pytest.approx(6)
    assert distance[18, 19, 10] == pytest.approx(5)


def test_a_margin_covers_the_region_that_grew_by_it(region):
    distance = distance_from(region, SPACING)
    later = (distance <= 7.0).astype(float)

    curve = measure_margins(distance, later, largest_mm=10.0)

    assert curve.smallest(1.0) == pytest.approx(7.0)
    assert list(curve.covered) == sorted(curve.covered)
    for margin, covered in zip(curve.margins_mm, curve.covered, strict=True):
        assert covered == pytest.approx(later[distance <= margin + 1e-6].sum() / later.sum())


def test_chances_weigh(region):
    distance = distance_from(region, SPACING)
    chance = np.where(distance == 0, 0.9, 0.0)
    chance[20, 15, 10] = 0.1

    curve = measure_margins(distance, chance, largest_mm=10.0)

    assert curve.smallest(0.9) == pytest.approx(0)
    assert curve.smallest(0.91) == pytest.approx(5)


def test_a_margin_that_is_too_small_for_all_is_told(region):
    distance = distance_from(region, SPACING)

    assert measure_margins(distance, np.ones(region.shape), largest_mm=4.0).smallest(0.9) is None


def test_nothing_to_cover_is_refused(region):
    with pytest.raises(ValueError, match="nothing to cover"):
        measure_margins(distance_from(region, SPACING), np.zeros(region.shape), largest_mm=4.0)


def test_without_a_barrier_ways_are_at_most_a_quarter_longer(region):
    everywhere = np.ones(region.shape, bool)
    within = distance_within(region, everywhere, SPACING, reach_mm=12.0)
    straight = distance_from(region, SPACING)
    near = (straight > 0) & (straight < 10)

    assert (within[near] >= straight[near] - 1e-9).all()
    assert (within[near] <= 1.25 * straight[near]).all()
    np.testing.assert_allclose(within[15, 15, :13][::-1][:3], [4.0, 2.0, 0.0])


def test_a_wall_is_gone_around_and_nothing_leaves_the_anatomy(region):
    anatomy = np.ones(region.shape, bool)
    anatomy[17, :20] = False

    within = distance_within(region, anatomy, SPACING, reach_mm=40.0)

    assert np.isinf(within[17, 15, 10])
    assert within[19, 15, 10] == pytest.approx(4 * np.sqrt(2) * 2, abs=3)
    assert within[19, 15, 10] > 2 * distance_from(region, SPACING)[19, 15, 10]


def test_ways_longer_than_the_reach_are_not_followed(region):
    within = distance_within(region, np.ones(region.shape, bool), SPACING, reach_mm=3.0)

    assert within[np.isfinite(within)].max() <= 3.0
