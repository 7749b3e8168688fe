import itertools

import pytest
import torch
from torch.nn import functional

from medtranslate.networks.discriminator import ConditionalDiscriminator
from medtranslate.networks.generator import Generator
from medtranslate.networks.settings import DiscriminatorSettings, GeneratorSettings

SETTINGS = [
    GeneratorSettings(dimensions=dimensions, stem_factor=stem, channels=8, blocks=(1, 1))
    for dimensions, stem in itertools.product(["3d", "2.5d"], [1, 2])
]


def _disturb(generator, seed=0):
    """Weights away from their start, so that the correction is not zero."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return generator.eval()


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: f"{s.dimensions}-stem{s.stem_factor}")
def test_an_untrained_generator_equals_the_mean_of_its_two_maps(settings):
    torch.manual_seed(0)
    generator = Generator(settings)
    generator.lookup.values.copy_(torch.linspace(1, 0, 64))
    generator.rank_lookup.values.copy_(torch.linspace(0, 3, 64))
    source = torch.rand(2, 2, 16, 12, 8)
    expected = (1 - source[:, :1] + 3 * source[:, 1:]) / 2

    torch.testing.assert_close(generator(source), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(generator.begin(source), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: f"{s.dimensions}-stem{s.stem_factor}")
def test_slab_by_slab_it_predicts_the_same_and_tells_its_start(settings):
    generator = _disturb(Generator(settings))
    generator.lookup.values.copy_(torch.rand(64))
    source = torch.rand(2, 2, 20, 12, 8)

    with torch.inference_mode():
        prediction, start = generator.predict_with(generator.correct, source).split(1, dim=1)

        torch.testing.assert_close(prediction, generator(source), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(start, generator.begin(source), atol=0, rtol=0)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: f"{s.dimensions}-stem{s.stem_factor}")
def test_a_volume_of_any_size_goes_on_with_its_edges(settings):
    generator = _disturb(Generator(settings))
    source = torch.rand(2, 2, 19, 13, 9)
    margins = [-size % settings.divisor for size in (9, 13, 19)]
    widths = [width for n in margins for width in (n // 2, n - n // 2)]
    padded = functional.pad(source, widths, mode="replicate")

    with torch.inference_mode():
        prediction, start = generator.predict_with(generator.correct, source).split(1, dim=1)
        expected = generator(padded)
        for axis, (n, size) in enumerate(zip(margins[::-1], source.shape[2:], strict=True), 2):
            expected = expected.narrow(axis, n // 2, size)

    torch.testing.assert_close(prediction, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(start, generator.begin(source), atol=0, rtol=0)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: f"{s.dimensions}-stem{s.stem_factor}")
def test_a_correction_stays_where_its_cause_is(settings):
    """A swapped axis in the space-to-depth stem or in the slices would move it."""
    generator = _disturb(Generator(settings))
    source = torch.zeros(1, 2, 32, 40, 48)
    changed = source.clone()
    changed[0, 0, 24, 9, 37] = 5.0
    with torch.inference_mode():
        difference = (generator(changed) - generator(source)).abs()[0, 0]

    assert tuple(torch.nonzero(difference == difference.max())[0].tolist()) == pytest.approx(
        (24, 9, 37), abs=4
    )
    assert difference[:8].max() < 0.05 * difference.max()
    assert difference[..., :20].max() < 0.05 * difference.max()


def _changes_far_away(norm):
    """How much a change in one corner moves the prediction in the other."""
    settings = GeneratorSettings(channels=8, blocks=(1, 1), norm=norm)
    generator = _disturb(Generator(settings))
    source = torch.rand(1, 2, 64, 16, 16, generator=torch.Generator().manual_seed(0))
    changed = source.clone()
    changed[:, :, :8] = 0
    with torch.inference_mode():
        difference = generator(changed) - generator(source)
    return float(difference[:, :, 48:].abs().max())


def test_without_norm_a_prediction_depends_on_its_neighbourhood_alone():
    assert _changes_far_away("none") == 0


def test_group_norm_carries_changes_across_the_whole_volume():
    assert _changes_far_away("group") > 1e-4


def test_slices_of_a_flat_generator_see_their_neighbours_only():
    generator = _disturb(Generator(GeneratorSettings(dimensions="2.5d", channels=8, blocks=(1, 1))))
    source = torch.rand(1, 2, 16, 16, 12)
    changed = source.clone()
    changed[..., 6] += 1

    with torch.inference_mode():
        difference = (generator(changed) - generator(source)).abs().amax(dim=(0, 1, 2, 3))

    torch.testing.assert_close(
        difference > 0, torch.tensor([4 <= k <= 8 for k in range(12)]), rtol=0, atol=0
    )


def test_no_layer_is_a_transposed_convolution():
    kinds = {type(m).__name__ for s in SETTINGS for m in Generator(s).modules()}

    assert not {kind for kind in kinds if "Transpose" in kind}


def test_sizes_are_multiples_of_the_divisor():
    settings = GeneratorSettings(channels=8, blocks=(1, 1, 1), stem_factor=2)

    assert settings.divisor == 8
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever torch says: 20 is no multiple
        Generator(settings)(torch.rand(1, 2, 20, 16, 16))


def test_the_discriminator_is_conditional():
    torch.manual_seed(0)
    judge = ConditionalDiscriminator(DiscriminatorSettings(channels=8, num_layers=2)).eval()
    source, target = torch.rand(1, 2, 24, 24, 24), torch.rand(1, 1, 24, 24, 24)

    with torch.inference_mode():
        first, second = judge(source, target)[0], judge(source.flip(2), target)[0]

    assert first.shape[1] == 1
    assert (first - second).abs().max() > 1e-4


def test_every_scale_judges():
    judge = ConditionalDiscriminator(DiscriminatorSettings(channels=4, num_layers=1, num_scales=2))

    logits = judge(torch.rand(1, 2, 32, 32, 32), torch.rand(1, 1, 32, 32, 32))

    assert [tuple(x.shape[:2]) for x in logits] == [(1, 1), (1, 1)]
