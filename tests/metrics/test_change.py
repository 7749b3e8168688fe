from __future__ import annotations

import numpy as np
import pytest

from medtranslate.metrics.change import (
    cover_at_volume,
    measure_volume_change,
    score_change,
    score_region_change,
)


def test_scores_are_of_the_change_and_not_of_the_scan() -> None:
    generator = np.random.default_rng(1)
    baseline, true, noise = generator.normal(0, [[[50.0]], [[1.0]], [[0.5]]], (3, 9, 800))
    mask = generator.random(baseline.shape) > 0.3

    found = score_change(baseline, baseline + true, baseline + true + noise + 0.25, mask=mask)

    expected = np.corrcoef(true[mask], (true + noise)[mask])[0, 1]
    np.testing.assert_allclose(found.correlation, expected, rtol=1e-9)
    np.testing.assert_allclose(found.mae, np.abs(noise + 0.25)[mask].mean(), rtol=1e-9)
    np.testing.assert_allclose(found.rmse, np.sqrt(((noise + 0.25) ** 2)[mask].mean()), rtol=1e-9)


def test_no_change_correlates_with_nothing() -> None:
    baseline = np.arange(8.0)
    later = baseline + np.arange(8.0) ** 2

    found = score_change(baseline, later, baseline, mask=baseline >= 0)

    assert found.correlation is None
    np.testing.assert_allclose(found.mae, np.mean(np.arange(8.0) ** 2))


def test_the_opposite_change_correlates_negatively() -> None:
    later = np.array([0.0, 1.0, 2.0])

    assert score_change(0 * later, later, -later, mask=later >= 0).correlation == -1.0


def test_new_voxels_are_found_or_invented() -> None:
    before = np.array([1, 1, 1, 0, 0, 0, 0], bool)
    later = np.array([0, 1, 1, 1, 1, 0, 0], bool)
    guess = np.array([1, 1, 1, 1, 0, 1, 1], bool)

    found = score_region_change(before, later, guess)

    np.testing.assert_allclose(found.dice, 2 * 3 / (4 + 6))
    np.testing.assert_allclose(found.changed_dice, 2 * 1 / (3 + 3))
    np.testing.assert_allclose([found.precision, found.recall], [1 / 3, 1 / 2])


def test_no_change_has_no_precision_and_finds_nothing() -> None:
    before, later = np.array([1, 0, 0], bool), np.array([1, 1, 0], bool)

    found = score_region_change(before, later, before)

    assert (found.precision, found.recall, found.changed_dice) == (None, 0.0, 0.0)
    empty = score_region_change(before & False, before & False, before & False)
    assert (empty.dice, empty.changed_dice, empty.recall) == (None, None, None)


def test_volume_change_is_in_millilitres_and_percent() -> None:
    start, true, found = (np.zeros((10, 10, 10)) for _ in range(3))
    start[:4], true[:5], found[:6] = 1.0, 1.0, 0.5

    change = measure_volume_change(start, true, found, spacing=(1.0, 2.0, 2.5))

    np.testing.assert_allclose(change.baseline_ml, 2.0)
    np.testing.assert_allclose([change.reference_ml, change.prediction_ml], [0.5, -0.5])
    np.testing.assert_allclose([change.error_ml, change.error_percent], [-1.0, -50.0])
    np.testing.assert_allclose(change.relative_error, 2.0)
    assert measure_volume_change(start, start, true, spacing=(1, 1, 1)).relative_error is None
    assert measure_volume_change(0 * start, true, true, spacing=(1, 1, 1)).error_percent is None


def test_coverage_at_equal_volume_ranks_voxels() -> None:
    generator = np.random.default_rng(2)
    probability = generator.permutation(300).reshape(10, 30) / 300.0
    reference = generator.random((10, 30)) > 0.7
    highest = np.argsort(-probability, axis=None)[:90]

    found = cover_at_volume(probability, reference, voxels=90)

    np.testing.assert_allclose(found, reference.ravel()[highest].sum() / reference.sum())
    assert cover_at_volume(probability, reference, voxels=0) == 0.0
    assert cover_at_volume(probability, reference, voxels=300) == 1.0


def test_a_flat_map_covers_as_much_as_chance() -> None:
    reference = np.arange(100) < 20

    np.testing.assert_allclose(cover_at_volume(np.ones(100), reference, voxels=35), 0.35)


@pytest.mark.parametrize(("voxels", "message"), [(-1, "voxels is -1"), (5, "expected 0 to 4")])
def test_a_volume_out_of_range_is_refused(voxels: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cover_at_volume(np.ones(4), np.ones(4, bool), voxels=voxels)


def test_what_cannot_be_scored_is_refused() -> None:
    some = np.ones((2, 2))
    with pytest.raises(ValueError, match="mask is empty"):
        score_change(some, some, some, mask=some < 0)
    with pytest.raises(ValueError, match=r"shapes \(2, 2\) and \(2,\)"):
        score_change(some, some[0], some, mask=some > 0)
    with pytest.raises(ValueError, match="true region is empty"):
        cover_at_volume(some, some < 0, voxels=1)
