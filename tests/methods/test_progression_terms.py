import pytest
import torch

from medtranslate.methods.progression_terms import (
    ProgressionLossSettings,
    find_share,
    image_loss,
    proportion_loss,
    region_loss,
    regularity_loss,
    sparsity_loss,
)

NOTHING = dict.fromkeys(ProgressionLossSettings.model_fields, 0.0)


def _only(**weights):
    return ProgressionLossSettings(**(NOTHING | weights))


def _block(start, stop, shape=(12, 12, 12)):
    image = torch.zeros(1, 1, *shape)
    image[..., start:stop, 4:8, 4:8] = 1
    return image


@pytest.mark.parametrize(("weights", "expected"), [({"l1": 2.0}, 1.0), ({"l2": 2.0}, 0.5)])
def test_the_image_loss_averages_over_the_mask(weights, expected):
    target, mask = torch.zeros(1, 1, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4)
    mask[..., :2] = 1
    prediction = torch.where(mask > 0, 0.5, 9.0)

    assert float(image_loss(target, prediction, mask, settings=_only(**weights))) == pytest.approx(
        expected
    )


def test_a_straight_velocity_costs_nothing_and_a_bent_one_does():
    straight = torch.arange(8.0).view(1, 1, 8, 1, 1).expand(1, 3, 8, 8, 8).contiguous()
    still = torch.zeros(1, 3, 8, 8, 8)

    free = regularity_loss(straight, still, settings=_only(bending=1.0))
    bent = regularity_loss(straight.square(), still, settings=_only(bending=1.0))

    assert float(free) == pytest.approx(0, abs=1e-10)
    assert float(bent) == pytest.approx(4.0)  # the second derivative is 2


def test_folding_costs_and_shrinking_by_half_does_not():
    line = torch.zeros(1, 3, 8, 8, 8)
    line[:, 0] = torch.arange(8.0).view(8, 1, 1)
    settings = _only(folding=1.0)

    assert float(regularity_loss(line, -0.5 * line, settings=settings)) == 0
    assert float(regularity_loss(line, -1.5 * line, settings=settings)) == pytest.approx(0.7)


def test_the_region_loss_tells_place_from_volume():
    label, later = _block(0, 4), _block(0, 6)
    elsewhere = _block(6, 12)

    apart = region_loss(label, later, elsewhere, settings=_only(region=1.0))
    volume = region_loss(label, later, elsewhere, settings=_only(volume=1.0))
    smaller = region_loss(label, later, label, settings=_only(volume=1.0))

    assert float(apart) == pytest.approx(12 / 5)
    assert float(volume) == 0
    assert float(smaller) == pytest.approx(2 / 5)


def test_nobody_without_a_region_counts():
    nothing = torch.zeros(1, 1, 6, 6, 6)

    assert float(region_loss(nothing, nothing, nothing + 1, settings=_only(region=1.0))) == 0


def test_the_share_is_what_the_change_of_volume_has_come_to():
    label, later = _block(0, 4), _block(0, 6)

    shares = [
        float(find_share(label, later, said))
        for said in (_block(0, 5), _block(0, 8), label, _block(0, 3), 9 * later)
    ]

    assert shares == pytest.approx([0.5, 2.0, 0.0, 0.0, 8.0])
    assert float(find_share(label, label, later)) == 1


def test_a_further_region_is_to_change_in_proportion_to_the_followed_one():
    label, later = _block(0, 4), _block(0, 6)
    half = torch.tensor([0.5])  # the followed region changed by half of what is true
    settings = _only(volume=1.0)

    def cost(said, share=half):
        return float(proportion_loss(label, later, said, share, settings=settings))

    assert cost(_block(0, 5)) == 0
    assert cost(later) == pytest.approx(1 / 5)
    assert cost(later, torch.ones(1)) == 0
    assert float(proportion_loss(0 * label, 0 * label, later, half, settings=settings)) == 0


def test_a_region_that_moves_by_part_of_a_voxel_pays_only_if_it_moves():
    """Edges of whole voxels, at places as they come; most do not flip when they move a little."""
    place = torch.linspace(4, 8, 257)[:-1].view(1, 1, 1, 256, 1)
    index = torch.arange(16.0).view(1, 1, 16, 1, 1)
    label, later = ((index < (place + moved).round()).float() for moved in (0.0, 0.25))
    before = torch.cat([label[:, :, :1], label[:, :, :-1]], dim=2)
    moved = 0.75 * label + 0.25 * before  # a quarter of a voxel, linearly
    settings = _only(region=1.0)

    stays = float(region_loss(label, later, label, settings=settings))
    moves = float(region_loss(label, later, moved, settings=settings))

    assert moves == pytest.approx(0.75 * stays)
    assert float((moved - later).abs().sum()) > float((label - later).abs().sum())


def test_what_is_added_costs_its_mean_size_in_the_mask():
    mask = torch.zeros(1, 1, 4, 4, 4)
    mask[..., :1] = 1
    added = torch.where(mask > 0, -0.2, 9.0)

    assert float(sparsity_loss(added, mask, settings=_only(sparsity=2.0))) == pytest.approx(0.4)
