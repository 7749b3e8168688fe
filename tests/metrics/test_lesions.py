"""Whether lesions show: contrasts worked out by hand on images of few values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from medtranslate.metrics.lesions import (
    MIN_VOLUME_MM3,
    Contrast,
    count_false_lesions,
    judge_insertion,
    judge_real,
    make_region,
    measure_contrast,
    split_lesions,
)

SPACING = (1.0, 2.0, 1.5)
SHAPE = (40, 24, 30)


def ball(centre, radius):
    """Voxels within ``radius`` mm of a voxel."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    return np.linalg.norm((index - centre) * SPACING, axis=-1) <= radius


MASK = np.zeros(SHAPE, bool)
MASK[1:-1, 1:-1, 1:-1] = True
LESION = ball((20, 12, 15), 4)


@pytest.fixture
def region():
    return make_region(LESION, healthy=MASK & ~LESION, spacing=SPACING)


@pytest.fixture
def tissue():
    """Healthy tissue of 0.5 with a standard deviation of 0.02."""
    return 0.5 + 0.02 * np.random.default_rng(0).standard_normal(SHAPE)


def test_a_shell_lies_one_to_five_millimetres_away_and_only_in_healthy_tissue():
    other = ball((28, 12, 15), 2)
    healthy = MASK & ~LESION & ~other
    index = np.argwhere(healthy)
    apart, _ = cKDTree(np.argwhere(LESION) * SPACING).query(index * SPACING)
    expected = np.zeros(SHAPE, bool)
    expected[tuple(index[(apart > 1) & (apart <= 5)].T)] = True

    region = make_region(LESION, healthy=healthy, spacing=SPACING)

    found = np.zeros(SHAPE, bool)
    found[region.box] = region.shell
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(region.volume_mm3, np.count_nonzero(LESION) * 3)


def test_a_lesion_without_surroundings_is_no_region():
    assert make_region(LESION, healthy=np.zeros(SHAPE, bool), spacing=SPACING) is None


def test_contrast_is_relative_to_the_median_of_the_shell(region):
    image = np.full(SHAPE, 0.5)
    image[LESION] = 0.35
    shell = np.zeros(SHAPE, bool)
    shell[region.box] = region.shell
    image[tuple(np.argwhere(shell)[:5].T)] = 30.0

    found = measure_contrast(image, region, data_range=1.0)

    np.testing.assert_allclose([found.difference, found.level, found.relative], [-0.15, 0.5, -0.3])
    np.testing.assert_allclose(found.spread, image[shell].std())


@pytest.mark.parametrize(
    ("difference", "spread", "visible"),
    [(0.05, 0.04, True), (-0.05, 0.04, True), (0.05, 0.06, False), (0.015, 0, False)],
)
def test_seen_is_what_exceeds_the_variation_around_and_a_share_of_the_range(
    difference, spread, visible
):
    assert Contrast(difference, 0.5, spread, data_range=1.0).visible is visible
    assert Contrast(100 * difference, 50, 100 * spread, data_range=100.0).visible is visible


def insert(image, contrast):
    return np.where(LESION, image * (1 + contrast), image)


def judge(region, tissue, synthetic):
    return judge_insertion(
        region,
        source=(1000 * tissue, 1000 * insert(tissue, -0.3)),
        synthetic=synthetic,
        source_range=1000.0,
        synthetic_range=1.0,
    )


def test_a_copy_retains_the_whole_contrast_at_any_scale(region, tissue):
    found = judge(region, tissue, (tissue, insert(tissue, -0.3)))

    np.testing.assert_allclose([found.source, found.synthetic], -0.3, rtol=0.02)
    np.testing.assert_allclose(found.retained, 1.0)
    assert found.detected


def test_an_inverting_model_retains_it_with_the_other_sign(region, tissue):
    found = judge(region, tissue, (1 - tissue, 1 - insert(tissue, -0.3)))

    np.testing.assert_allclose(found.synthetic, 0.3, rtol=0.02)
    np.testing.assert_allclose(found.retained, 1.0, rtol=0.02)
    assert found.detected


def test_a_model_that_shows_half_of_it_retains_half(region, tissue):
    found = judge(region, tissue, (tissue, insert(tissue, -0.15)))

    np.testing.assert_allclose(found.retained, 0.5, rtol=1e-6)


def test_a_constant_image_loses_the_lesion(region, tissue):
    constant = np.full(SHAPE, 0.4)

    found = judge(region, tissue, (constant, constant))

    assert found.retained == 0
    assert not found.detected


def test_a_place_that_was_dark_before_is_no_detection(region, tissue):
    """Only what the insertion added counts."""
    dark = insert(tissue, -0.4)

    found = judge(region, tissue, (dark, dark))

    assert not found.detected
    assert found.retained == 0


def judge_given(region, real, synthetic, erased):
    return judge_real(region, real=real, synthetic=synthetic, erased=erased, data_range=1.0)


def test_a_given_lesion_is_compared_with_the_real_image(region, tissue):
    found = judge_given(region, insert(tissue, 0.4), insert(tissue, 0.1), tissue)

    np.testing.assert_allclose([found.real, found.synthetic], [0.4, 0.1], atol=0.01)
    np.testing.assert_allclose(found.retained, 0.25, atol=0.02)
    assert (found.visible, found.shown, found.invented) == (True, True, False)


def test_a_lesion_shown_the_wrong_way_round_is_not_shown(region, tissue):
    found = judge_given(region, insert(tissue, 0.4), insert(tissue, -0.4), insert(tissue, -0.4))

    assert found.retained < -0.9
    assert (found.visible, found.shown, found.invented) == (True, False, False)


def test_a_lesion_still_there_after_it_was_erased_is_invented(region, tissue):
    shown = insert(tissue, 0.4)

    assert judge_given(region, shown, shown, insert(tissue, 0.3)).invented
    assert not judge_given(region, shown, shown, insert(tissue, 0.01)).invented


def test_lesions_are_split_and_specks_and_what_lies_outside_are_left_out():
    lesions = LESION | ball((8, 12, 15), 3)
    lesions[30, 5, 5] = True
    lesions[0] = True

    found = list(split_lesions(lesions, mask=MASK, spacing=SPACING))

    assert np.prod(SPACING) < MIN_VOLUME_MM3
    volumes = sorted(region.volume_mm3 for region in found)
    expected = [np.count_nonzero(one) * 3.0 for one in (ball((8, 12, 15), 3), LESION)]
    np.testing.assert_allclose(volumes, expected)


def test_voxels_that_touch_at_a_corner_are_one_lesion():
    first, second = (slice(10, 13),) * 3, (slice(13, 16),) * 3
    lesions = np.zeros(SHAPE, bool)
    lesions[first] = lesions[second] = True

    assert len(list(split_lesions(lesions, mask=MASK, spacing=SPACING))) == 1


def count(before, after, *, threshold=0.1):
    return count_false_lesions(
        before, after, changed=LESION, mask=MASK, threshold=threshold, spacing=SPACING
    )


def test_changes_far_from_the_insertion_are_false_lesions(tissue):
    """Brighter and darker ones; not those outside the patient."""
    after = tissue.copy()
    after[ball((6, 12, 15), 3)] += 0.3
    after[ball((35, 12, 15), 3)] -= 0.3
    after[:, 0] += 0.5

    assert count(tissue, after) == 2
    assert count(tissue, after, threshold=0.4) == 0


def test_the_insertion_itself_its_rim_and_specks_are_no_false_lesions(tissue):
    after = tissue.copy()
    after[ball((20, 12, 15), 8)] += 0.3
    after[3, 3, 3] += 0.3

    assert count(tissue, after) == 0
    after[ball((20, 12, 15), 12)] += 0.3
    assert count(tissue, after) == 1
