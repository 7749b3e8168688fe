import numpy as np
import pytest
import torch

from medtranslate.networks.levelling import level


def _person(gain, offset, *, noise=0.05, seed=0):
    """What the starting map says, what differs locally, and a target of another level."""
    draw = np.random.default_rng(seed)
    start = torch.from_numpy(draw.uniform(0.2, 0.9, (1, 12, 10, 8)).astype(np.float32))
    local = torch.from_numpy((noise * draw.standard_normal(start.shape)).astype(np.float32))
    mask = torch.zeros_like(start)
    mask[:, 2:10, 1:9, 2:7] = 1
    return start + local + (gain - 1) * start + offset, start, mask


def test_people_who_differ_by_a_line_become_equal():
    (dark, start, mask), (bright, *_) = _person(0.8, 0.05), _person(1.25, -0.02)

    torch.testing.assert_close(level(dark, start, mask), level(bright, start, mask))


def test_what_is_left_has_neither_mean_nor_slope_inside_the_mask():
    target, start, mask = _person(1.3, -0.1)

    left = (level(target, start, mask) - start)[mask > 0].double().numpy()
    slope, offset = np.polyfit(start[mask > 0].double().numpy(), left, 1)

    assert (slope, offset) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))
    assert left.std() == pytest.approx(0.05, rel=0.1)


def test_the_start_itself_stays_as_it_is():
    _, start, mask = _person(1.0, 0.0)

    torch.testing.assert_close(level(start, start, mask), start)


def test_the_line_is_fitted_inside_the_mask_and_applied_everywhere():
    target, start, mask = _person(1.2, 0.1, noise=0.0)
    elsewhere = torch.where(mask > 0, target, target + 7)

    levelled = level(elsewhere, start, mask)

    torch.testing.assert_close(levelled[mask > 0], start[mask > 0])
    torch.testing.assert_close(levelled[mask == 0], (start + 7)[mask == 0])


def test_a_constant_start_shifts_the_mean_only():
    target, start, mask = _person(1.0, 0.0)

    levelled = level(target, torch.full_like(start, 0.4), mask)

    expected = target - target[mask > 0].mean() + 0.4
    torch.testing.assert_close(levelled, expected)


def test_an_empty_mask_is_refused():
    target, start, mask = _person(1.0, 0.0)

    with pytest.raises(ValueError, match="mask is empty"):
        level(target, start, 0 * mask)
