from __future__ import annotations

import numpy as np
import pytest

from medtranslate.metrics.change_baselines import (
    continue_trend,
    fit_cohort_change,
    mean_growth_rate,
    resize_region,
)


def test_the_cohorts_mean_change_depends_on_intensity_and_time() -> None:
    generator = np.random.default_rng(3)
    pairs = []
    for years in (0.5, 2.0):
        baseline = generator.uniform(0, 1, (20, 20, 20))
        pairs.append((baseline, baseline * (1 - 0.1 * years), baseline > 0.05, years))
    scan = np.array([[[0.2, 0.5, 0.9]]])

    later = fit_cohort_change(pairs).predict(scan, years=3.0)

    np.testing.assert_allclose(later, scan * 0.7, atol=0.01)


def test_a_cohort_of_one_intensity_has_one_change() -> None:
    baseline = np.full((4, 4, 4), 2.0)

    found = fit_cohort_change([(baseline, baseline + 1.0, baseline > 0, 2.0)])

    np.testing.assert_allclose(found.predict(baseline, years=1.0), 2.5)


def test_a_trend_goes_on() -> None:
    later = continue_trend(
        np.array([1.0, 5.0]), np.array([2.0, 4.0]), years_between=0.5, years_ahead=1.0
    )

    np.testing.assert_allclose(later, [4.0, 2.0])
    with pytest.raises(ValueError, match="years_between is 0"):
        continue_trend(later, later, years_between=0, years_ahead=1.0)


def test_growth_is_averaged_as_a_rate() -> None:
    rate = mean_growth_rate([(1.0, np.exp(0.4), 2.0), (3.0, 3.0 * np.exp(0.3), 0.5)])

    np.testing.assert_allclose(rate, (0.2 + 0.6) / 2)
    with pytest.raises(ValueError, match="above 0"):
        mean_growth_rate([])


def test_a_ball_grows_to_a_larger_ball_and_shrinks_to_a_smaller_one() -> None:
    spacing = (1.0, 2.0, 1.0)
    i, j, k = np.indices((31, 17, 31)) - np.array([15, 8, 15])[:, None, None, None]
    distance = np.sqrt(i**2 + (2 * j) ** 2 + k**2)
    ball = distance <= 8.0

    larger = resize_region(ball, factor=1.6, spacing=spacing)
    smaller = resize_region(ball, factor=0.5, spacing=spacing)

    assert larger.sum() == round(1.6 * ball.sum())
    assert smaller.sum() == round(0.5 * ball.sum())
    assert not (ball & ~larger).any()
    assert not (smaller & ~ball).any()
    np.testing.assert_allclose(distance[larger].max(), 8.0 * 1.6 ** (1 / 3), atol=1.2)
    np.testing.assert_array_equal(resize_region(ball, factor=1.0, spacing=spacing), ball)
    left = i < 0
    kept = resize_region(ball, factor=1.6, spacing=spacing, allowed=left)
    assert not (kept & ~(left | ball)).any()


@pytest.mark.parametrize("change", ["empty", "negative"])
def test_what_cannot_be_resized_is_refused(change: str) -> None:
    region = np.full((2, 2, 2), change != "empty")

    with pytest.raises(ValueError, match="factor of 0 or more"):
        resize_region(region, factor=-1.0 if change == "negative" else 1.0, spacing=(1, 1, 1))


def test_no_time_and_no_voxels_are_refused() -> None:
    scan = np.zeros((2, 2, 2))
    with pytest.raises(ValueError, match="interval is 0"):
        fit_cohort_change([(scan, scan, scan == 0, 0.0)])
    with pytest.raises(ValueError, match="no training pair"):
        fit_cohort_change([(scan, scan, scan > 0, 1.0)])
