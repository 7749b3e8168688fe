import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from medtranslate.networks.inputs import make_inputs, rank_voxels


def _scan(seed=0, shape=(14, 12, 10)):
    generator = torch.Generator().manual_seed(seed)
    source = torch.rand((1, *shape), generator=generator) ** 2
    mask = torch.zeros_like(source)
    mask[:, 3:11, 2:9, 1:9] = 1
    return source, mask


def test_ranks_are_the_part_of_the_mask_that_is_darker():
    source, mask = _scan()
    inside = mask[0].numpy() > 0
    expected = (rankdata(source[0].numpy()[inside]) - 1) / (inside.sum() - 1)

    ranks = make_inputs(source, mask)[1].numpy()

    np.testing.assert_allclose(ranks[inside], expected, atol=2e-3)


@pytest.mark.parametrize("size", [1, 2, 700, 1001, 5001])
@pytest.mark.parametrize("decimals", [1, 7])
def test_ranks_lie_between_numpys_quantiles(size, decimals):
    inside = np.random.default_rng(size).normal(size=size).round(decimals).astype(np.float32)
    levels = np.linspace(0, 1, 1001)
    values, places = np.unique(np.quantile(inside, levels), return_inverse=True)
    means = np.bincount(places, levels) / np.bincount(places)

    ranks = rank_voxels(torch.from_numpy(inside).reshape(1, -1, 1, 1), torch.ones(1, size, 1, 1))

    np.testing.assert_allclose(ranks.flatten(), np.interp(inside, values, means), atol=1e-7)


def test_intensities_inside_the_mask_pass_unchanged():
    source, mask = _scan()
    inside = mask[0] > 0

    assert torch.equal(make_inputs(source, mask)[0][inside], source[0][inside])


def test_ranks_are_the_same_where_the_intensities_come_sorted():
    source, mask = _scan()
    ascending = np.sort(source[mask > 0].numpy())

    assert torch.equal(make_inputs(source, mask, ascending=ascending), make_inputs(source, mask))


def test_a_monotone_change_of_contrast_keeps_the_ranks():
    source, mask = _scan()

    first, second = make_inputs(source, mask), make_inputs(0.3 + 2 * source**0.5, mask)

    torch.testing.assert_close(first[1], second[1], atol=2e-3, rtol=0)


def test_what_lies_outside_the_mask_is_not_shown():
    source, mask = _scan()
    changed = torch.where(mask > 0, source, source * 50)

    shown = make_inputs(source, mask)

    assert torch.equal(shown, make_inputs(changed, mask))
    assert not shown[:, mask[0] == 0].any()


def test_voxels_of_one_grey_value_share_the_middle_of_their_ranks():
    source = torch.tensor([0.0] * 50 + [1.0] * 50).reshape(1, 10, 10, 1)

    ranks = make_inputs(source, torch.ones_like(source))[1]

    assert ranks.unique().tolist() == pytest.approx([0.25, 0.75], abs=5e-3)


def test_an_empty_mask_is_refused():
    source, mask = _scan()

    with pytest.raises(ValueError, match="mask is empty"):
        make_inputs(source, 0 * mask)


def test_voxels_outside_the_mask_have_the_rank_that_they_would_have_inside():
    source, mask = _scan()

    ranks = rank_voxels(source, mask)

    np.testing.assert_array_equal(make_inputs(source, mask)[1:], ranks * (mask > 0))
    assert float(ranks[mask == 0].max()) > 0
