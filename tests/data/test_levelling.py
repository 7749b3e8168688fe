import numpy as np
import pytest

from medtranslate.data.levelling import level_target


def _person(gain, offset, *, noise=0.02, seed=0):
    draw = np.random.default_rng(seed)
    start = draw.uniform(0.2, 0.9, (12, 10, 8)).astype(np.float32)
    local = noise * draw.standard_normal(start.shape).astype(np.float32)
    mask = np.zeros(start.shape, dtype=bool)
    mask[2:10, 1:9, 2:7] = True
    return (gain * (start + local) + offset).astype(np.float32), start, local, mask


def test_a_persons_own_scale_and_offset_are_undone():
    target, start, local, mask = _person(1.3, -0.1)

    levelled = level_target(target, start, mask)

    np.testing.assert_allclose(levelled[mask], (start + local)[mask], atol=0.01)


def test_two_people_who_differ_in_scale_alone_become_equal():
    (dark, start, _, mask), (bright, *_) = _person(0.8, 0.05), _person(1.25, -0.02)

    np.testing.assert_allclose(
        level_target(dark, start, mask)[mask], level_target(bright, start, mask)[mask], atol=1e-4
    )


def test_the_line_is_fitted_inside_the_mask_alone():
    target, start, _, mask = _person(1.2, 0.1)
    elsewhere = np.where(mask, target, 7.0).astype(np.float32)

    np.testing.assert_array_equal(
        level_target(target, start, mask)[mask], level_target(elsewhere, start, mask)[mask]
    )


def test_a_pair_that_shares_nothing_is_not_blown_up():
    target, start, _, mask = _person(0.0, 0.5)
    target += np.random.default_rng(1).normal(0, 0.1, target.shape).astype(np.float32)

    levelled = level_target(target, start, mask)

    assert levelled[mask].std() == pytest.approx(target[mask].std() / 0.6, rel=0.05)
    assert levelled[mask].mean() == pytest.approx(start[mask].mean(), abs=1e-5)


def test_a_constant_start_shifts_the_mean_only():
    target, start, _, mask = _person(1.0, 0.0)

    levelled = level_target(target, np.full_like(start, 0.4), mask)

    np.testing.assert_allclose(levelled[mask], target[mask] - target[mask].mean() + 0.4, atol=1e-6)


def test_an_empty_mask_is_refused():
    target, start, _, mask = _person(1.0, 0.0)

    with pytest.raises(ValueError, match="mask is empty"):
        level_target(target, start, mask & False)
