"""Smoothing is that of MONAI, with weights of the same names, and waits for nothing."""

import torch
from monai.networks.layers import GaussianFilter

from medtranslate.networks.smoothing import Smoothing

from ..methods.waiting import CountsReads

IMAGE = torch.rand(2, 3, 9, 8, 7, generator=torch.Generator().manual_seed(0))


def test_it_is_the_filter_of_monai_to_the_bit():
    ours, theirs = Smoothing(1.7), GaussianFilter(3, 1.7)

    torch.testing.assert_close(ours(IMAGE), theirs(IMAGE), rtol=0, atol=0)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)


def test_weights_bring_their_width():
    ours = Smoothing(3.0)
    ours.load_state_dict(GaussianFilter(3, 1.2).state_dict())

    torch.testing.assert_close(ours(IMAGE), Smoothing(1.2)(IMAGE), rtol=0, atol=0)


def test_it_does_not_wait_for_the_device():
    smooth = Smoothing(1.7)

    with CountsReads() as reads:
        smooth(IMAGE)

    assert reads.count == 0


def test_it_can_be_built_without_values_to_be_compared_with_weights():
    with torch.device("meta"):
        smooth = Smoothing(1.7)

    assert {value.device.type for value in (*smooth.parameters(), smooth.kernel)} == {"meta"}
