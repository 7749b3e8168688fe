import pytest
import torch

from medtranslate.networks.deformation import warp
from medtranslate.networks.nearness import measure_nearness
from medtranslate.networks.progression import (
    REACH_MM,
    ProgressionGeneratorSettings,
    ProgressionNetwork,
    advance_region,
    displace,
)

SHAPE = (16, 24, 16)


def _network(**settings):
    torch.manual_seed(0)
    options = {"channels": 8, "levels": 2} | settings
    return ProgressionNetwork(ProgressionGeneratorSettings(**options), num_conditions=2)


def _ask(network, condition=(0.0, 0.0)):
    generator = torch.Generator().manual_seed(1)
    channels = 3 if network.settings.growing_region else 2
    source = torch.rand(1, channels, *SHAPE, generator=generator)
    inside = torch.ones(1, 1, *SHAPE)
    inside[:, :, :4] = 0
    return network(source, torch.tensor([condition]), inside)


def _stir(network):
    """Weights as after training: nothing is 0."""
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.08)
    return network


@pytest.mark.parametrize("monotone", [True, False])
@pytest.mark.parametrize("growing", [True, False])
def test_an_untrained_network_says_that_nothing_changes(monotone, growing):
    dynamics = _ask(_network(monotone=monotone, growing_region=growing))

    assert dynamics.residual.shape[1] == (1 if monotone else 2)
    assert not dynamics.velocity.any()
    assert not dynamics.residual.any()
    assert not dynamics.front.any()


def test_nothing_is_new_outside_the_patient():
    dynamics = _ask(_stir(_network()))

    assert dynamics.mask[:, :, 4:].min() > 0
    assert not dynamics.mask[:, :, :4].any()


def test_a_condition_changes_what_is_said():
    network = _stir(_network())

    one, other = _ask(network, (0.0, 0.0)), _ask(network, (1.0, 0.0))

    assert float((one.velocity - other.velocity).detach().abs().max()) > 1e-3


def test_residuals_start_at_zero_and_rise_for_ever_where_they_must():
    growth = _network().growth(torch.tensor([0.0, 0.5, 1.0, 3.0]))[:, 0].detach()

    assert float(growth[0]) == 0
    assert bool((growth.diff() > 0).all())
    assert float(growth[-1]) < 1


def test_residuals_may_come_and_go_where_the_pipeline_says_so():
    growth = _network(monotone=False).growth(torch.tensor([0.0, 1.0, 8.0]))[:, 1].detach()

    torch.testing.assert_close(growth[:2], torch.tensor([0.0, 1.0]))
    assert float(growth[2]) < 0.1


def test_a_constant_coarse_velocity_moves_by_twice_as_many_fine_voxels():
    velocity = torch.zeros(1, 3, 8, 8, 8)
    velocity[:, 2] = 0.5

    displacement = displace(velocity, torch.tensor([2.0]))

    torch.testing.assert_close(displacement[:, 2], torch.full((1, 16, 16, 16), 2.0))
    assert not displacement[:, :2].any()


def test_displacements_of_two_times_compose_to_within_a_tenth_of_a_voxel():
    index = torch.stack(torch.meshgrid(*[torch.arange(20.0)] * 3, indexing="ij"))
    fade = torch.sin(torch.pi * index / 19).clamp(min=0).prod(dim=0)
    turns = torch.stack([torch.sin(index[1] / 4), torch.cos(index[2] / 5), torch.sin(index[0] / 6)])
    velocity = (2 * fade * turns)[None]
    first, second = displace(velocity, torch.tensor([0.4])), displace(velocity, torch.tensor([0.6]))
    together = displace(velocity, torch.tensor([1.0]))

    error = (second + warp(first, second) - together).abs().max()

    assert float(together.abs().max()) > 3
    assert float(error) < 0.1


def test_a_front_advances_by_its_speed_and_not_without_time():
    region = torch.zeros(1, 1, 24, 24, 24)
    region[..., 10:14, 10:14, 10:14] = 1
    nearness = torch.from_numpy(
        measure_nearness(region[0, 0].numpy() > 0, (1.0, 1.0, 1.0), reach_mm=REACH_MM)
    )[None, None]
    still, front = torch.zeros(1, 3, 24, 24, 24), torch.full_like(region, 2.0)

    now = advance_region(nearness, still, front, torch.tensor([0.0]))
    later = advance_region(nearness, still, front, torch.tensor([1.5]))

    torch.testing.assert_close((now > 0.5).float(), region)
    assert float(later[0, 0, 16, 12, 12]) > 0.5  # 2.5 mm from the border, the front ran 3
    assert float(later[0, 0, 17, 12, 12]) < 0.5  # 3.5 mm


def test_a_speed_multiplies_what_moves_and_advances_and_nothing_else():
    network = _stir(_network(growing_region=True))
    network.set_speed(torch.zeros(3))
    slow = _ask(network, (1.0, 0.0))
    network.set_speed(torch.log(torch.tensor([2.0, 5.0, 1.5])))

    fast = _ask(network, (1.0, 0.0))

    torch.testing.assert_close(fast.velocity, 3 * slow.velocity)
    torch.testing.assert_close(fast.front, 3 * slow.front)
    torch.testing.assert_close(fast.residual, slow.residual)
