import numpy as np
import pytest
import torch

from medtranslate.networks.lookup import NUM_BINS, LookupMap, fit_lookup_map


def _case(curve, *, seed=0, shape=(24, 20, 16)):
    generator = np.random.default_rng(seed)
    source = generator.uniform(0, 1, shape).astype(np.float32)
    return source, curve(source).astype(np.float32), np.ones(shape, bool)


def test_a_map_between_nodes_is_linear():
    lookup = LookupMap()
    lookup.nodes.copy_(torch.linspace(0, 1, NUM_BINS))
    lookup.values.copy_(torch.linspace(3, -2, NUM_BINS))

    mapped = lookup(torch.tensor([0.0, 0.123, 0.5, 1.0]))

    torch.testing.assert_close(mapped, torch.tensor([3.0, 3 - 5 * 0.123, 0.5, -2.0]))


def test_values_outside_the_nodes_take_the_end_values():
    lookup = LookupMap()
    lookup.values.copy_(torch.linspace(3, -2, NUM_BINS))

    torch.testing.assert_close(lookup(torch.tensor([-5.0, 7.0])), torch.tensor([3.0, -2.0]))


def test_fitting_recovers_a_falling_curve():
    lookup = fit_lookup_map([_case(lambda x: 1 - x**2)])
    values = torch.linspace(0.05, 0.95, 30)

    np.testing.assert_allclose(lookup(values), 1 - values**2, atol=0.02)


def test_fitting_takes_the_median_and_not_the_mean():
    generator = np.random.default_rng(1)
    source = generator.uniform(0, 1, (30, 30, 30)).astype(np.float32)
    target = np.where(generator.uniform(size=source.shape) < 0.3, 10.0, 0.25).astype(np.float32)

    lookup = fit_lookup_map([(source, target, np.ones(source.shape, bool))])

    np.testing.assert_allclose(lookup(torch.tensor([0.2, 0.8])), 0.25, atol=1e-6)


def test_voxels_outside_the_mask_do_not_count():
    source, target, mask = _case(lambda x: 0.5 * x)
    mask[:, :10] = False
    target[:, :10] = 99.0

    lookup = fit_lookup_map([(source, target, mask)])

    np.testing.assert_allclose(lookup(torch.tensor([0.5])), 0.25, atol=0.02)


def test_every_subject_counts_the_same_whatever_its_size():
    large = _case(lambda x: 0 * x, shape=(60, 40, 40))
    small = _case(lambda x: 0 * x + 1, shape=(12, 12, 12), seed=2)
    other = _case(lambda x: 0 * x + 1, shape=(12, 12, 12), seed=3)

    lookup = fit_lookup_map([large, small, other])

    np.testing.assert_allclose(lookup(torch.tensor([0.5])), 1.0)


def test_fitting_needs_a_case():
    with pytest.raises(ValueError, match="no training case"):
        fit_lookup_map([])
