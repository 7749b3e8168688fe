"""The running average is that of torch, and stays where an update was left out."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from medtranslate.methods.averaging import AveragedWeights

from .waiting import CountsReads

DONE, LEFT_OUT = torch.zeros(()), torch.ones(())


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv3d(2, 3, 3), nn.BatchNorm3d(3))


def average_by_torch(decay):
    def update(averages, current, count):
        weight = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(list(averages), list(current), weight)

    return AveragedModel(network(0), multi_avg_fn=update)


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.995])
def test_it_is_the_average_of_torch_to_the_bit(decay):
    ours, theirs = AveragedWeights(network(0), decay), average_by_torch(decay)
    for seed in range(1, 30):
        ours.update(network(seed), left_out=DONE)
        theirs.update_parameters(network(seed))

    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("first", [0, 3])
def test_an_update_that_was_left_out_changes_nothing(first):
    average = AveragedWeights(network(0), 0.9)
    for seed in range(1, 1 + first):
        average.update(network(seed), left_out=DONE)
    before = {name: value.clone() for name, value in average.state_dict().items()}

    average.update(network(7), left_out=LEFT_OUT)

    torch.testing.assert_close(average.state_dict(), before, rtol=0, atol=0)


def test_it_does_not_wait_for_the_device():
    average, current = AveragedWeights(network(0), 0.9), network(1)

    with CountsReads() as reads:
        average.update(current, left_out=DONE)

    assert reads.count == 0
