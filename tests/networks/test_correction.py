"""The exported form of a correction computes what the generator computes."""

import pytest
import torch
from torch import nn

from medtranslate.networks.correction import CorrectionNetwork, compute_blocks
from medtranslate.networks.generator import Generator
from medtranslate.networks.settings import GeneratorSettings


@pytest.mark.parametrize("dimensions", ["3d", "2.5d"])
@pytest.mark.parametrize("stem_factor", [1, 2])
def test_the_exported_form_computes_the_correction(dimensions, stem_factor):
    torch.manual_seed(0)
    generator = Generator(
        GeneratorSettings(dimensions=dimensions, channels=8, blocks=(1, 1), stem_factor=stem_factor)
    )
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.1)
    inputs = torch.randn(1, 4, 8, 12, 16)

    with torch.inference_mode():
        expected, found = generator.correct(inputs), CorrectionNetwork(generator)(inputs)

    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "factor"), [(nn.Conv3d, 2), (nn.Conv3d, 3), (nn.Conv2d, 2)])
def test_each_voxel_of_a_block_is_a_channel(kind, factor):
    torch.manual_seed(1)
    layer = kind(2, 1, 3, padding=1)
    dimensions = layer.weight.ndim - 2
    volume = torch.randn(1, 2, *(factor * n for n in (2, 3, 4)[:dimensions]))

    with torch.inference_mode():
        expected, blocks = layer(volume), compute_blocks(layer, factor)(volume)

    last = tuple([slice(factor - 1, None, factor)] * dimensions)
    second = tuple([slice(0, None, factor)] * (dimensions - 1) + [slice(1, None, factor)])
    assert blocks.shape[1] == factor**dimensions
    torch.testing.assert_close(blocks[0, -1], expected[(0, 0, *last)])
    torch.testing.assert_close(blocks[0, 1], expected[(0, 0, *second)])
