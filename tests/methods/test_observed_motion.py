"""The velocity that explains a person's past scans."""

import pytest
import torch

from medtranslate.methods.observed_motion import OtherTime, observe_velocity
from medtranslate.networks.deformation import warp
from medtranslate.networks.progression import displace

NEXT = torch.tensor([1.0])


def _ball(radius, noise=0.0, seed=0):
    """So bright that what it shows counts for more than what a model expects."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(24.0)] * 3, indexing="ij"))
    distance = (grid - 11.5).square().sum(0).sqrt()
    drawn = torch.randn(distance.shape, generator=torch.Generator().manual_seed(seed))
    return 10 * (torch.sigmoid(2 * (radius - distance)) + noise * drawn)[None, None]


def _ahead(velocity, baseline):
    return warp(baseline, displace(velocity, NEXT))


def _error(image, reference):
    return float((image - reference).square().mean())


def test_what_moved_so_far_moves_on():
    still = torch.zeros(1, 3, 12, 12, 12)
    everywhere = torch.ones(1, 1, 24, 24, 24)
    today, past = _ball(7, 0.02), OtherTime(_ball(6, 0.02, seed=1), everywhere, -1.0)

    velocity = observe_velocity(still, today, [past])

    assert velocity.abs().max() > 0.05
    assert _error(_ahead(velocity, _ball(7)), _ball(8)) < 0.8 * _error(_ball(7), _ball(8))


def test_the_model_stands_where_scans_show_nothing():
    said = 0.1 * torch.ones(1, 3, 12, 12, 12)
    flat = torch.full((1, 1, 24, 24, 24), 5.0)
    everywhere = torch.ones_like(flat)

    unseen = observe_velocity(said, _ball(7), [OtherTime(_ball(3), 0 * everywhere, -1.0)])
    even = observe_velocity(said, flat, [OtherTime(flat, everywhere, -1.0)])

    torch.testing.assert_close(unseen, said)
    torch.testing.assert_close(even, said)


def test_the_same_shift_in_twice_the_time_is_half_the_velocity():
    still = torch.zeros(1, 3, 12, 12, 12)
    ramp = 10 * torch.arange(24.0).view(1, 1, 24, 1, 1).expand(1, 1, 24, 24, 24).contiguous()
    inner = torch.zeros_like(ramp)
    inner[:, :, 6:18] = 1

    one, two = (
        observe_velocity(still, ramp, [OtherTime(ramp + 10, inner, -years)])[0, 0, 5:7]
        .mean()
        .item()
        for years in (1.0, 2.0)
    )

    assert one == pytest.approx(-0.5, rel=0.1)  # a voxel of the scan is half one of the velocity
    assert two == pytest.approx(one / 2, rel=0.1)
