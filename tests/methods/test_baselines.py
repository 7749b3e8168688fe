"""The baselines do what NumPy does when asked the plain way."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from medtranslate.errors import CheckpointError
from medtranslate.methods.baselines import (
    BASELINES,
    HistogramMatch,
    fit_histogram_match,
    lookup_from_weights,
    predict_baselines,
)
from medtranslate.networks.lookup import NUM_BINS, LookupMap


def random_case(seed, *, shape=(9, 8, 7), shift=0.0):
    generator = np.random.default_rng(seed)
    image = (generator.gamma(3, 0.2, (1, *shape)) + shift).astype(np.float32)
    return image, generator.random((1, *shape)) > 0.3


def test_a_matched_source_has_the_distribution_of_the_targets():
    target, target_mask = random_case(1, shift=0.5, shape=(30, 30, 30))
    source, mask = random_case(2, shape=(30, 30, 30))
    match = fit_histogram_match([(target, target_mask)])

    matched = match(source, mask)

    levels = np.linspace(0.01, 0.99, 50)
    np.testing.assert_allclose(
        np.quantile(matched[mask], levels), np.quantile(target[target_mask], levels), atol=5e-3
    )
    np.testing.assert_array_equal(matched[~mask], 0)


def test_matching_keeps_the_order_of_intensities():
    target, target_mask = random_case(3)
    source, mask = random_case(4)

    matched = fit_histogram_match([(target, target_mask)])(source, mask)

    order = np.argsort(source[mask], kind="stable")
    assert (np.diff(matched[mask][order]) >= 0).all()


def test_every_training_person_counts_the_same():
    """A person with a hundred times the voxels does not outweigh another."""
    small = np.zeros((1, 4, 4, 4), np.float32), np.ones((1, 4, 4, 4), bool)
    large = np.ones((1, 20, 20, 16), np.float32), np.ones((1, 20, 20, 16), bool)

    quantiles = fit_histogram_match([small, large]).quantiles

    np.testing.assert_allclose(quantiles.mean(), 0.5, atol=1e-3)


def test_the_fit_looks_only_inside_the_mask():
    target, mask = random_case(5)
    spoiled = np.where(mask, target, 99)

    np.testing.assert_array_equal(
        fit_histogram_match([(target, mask)]).quantiles,
        fit_histogram_match([(spoiled, mask)]).quantiles,
    )


def test_a_histogram_comes_back_from_json_exactly():
    match = fit_histogram_match([random_case(6)])

    back = HistogramMatch.from_json(json.loads(json.dumps(match.to_json())))

    np.testing.assert_array_equal(back.quantiles, match.quantiles)


@pytest.mark.parametrize("data", [{}, {"quantiles": [1.0]}, {"quantiles": [2.0, 1.0]}])
def test_a_histogram_that_is_none_is_refused(data):
    with pytest.raises(ValueError, match="ascending"):
        HistogramMatch.from_json(data)


def test_an_empty_mask_or_cohort_is_refused():
    with pytest.raises(ValueError, match="mask is empty"):
        HistogramMatch(np.array([0.0, 1.0]))(np.zeros((2, 2)), np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match="no training case"):
        fit_histogram_match([])


@pytest.mark.parametrize("prefix", ["lookup.", "rank_lookup."])
def test_a_map_comes_out_of_the_weights(prefix):
    weights = {
        f"{prefix}nodes": torch.linspace(0, 2, NUM_BINS),
        f"{prefix}values": torch.linspace(1, 0, NUM_BINS) ** 2,
    }

    lookup = lookup_from_weights(weights, prefix=prefix)

    source = np.random.default_rng(0).uniform(-0.5, 2.5, 100).astype(np.float32)
    expected = np.interp(source, weights[f"{prefix}nodes"], weights[f"{prefix}values"])
    np.testing.assert_allclose(lookup(torch.from_numpy(source)).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    "weights", [{}, {"lookup.nodes": torch.zeros(3), "lookup.values": torch.zeros(3)}]
)
def test_weights_without_a_lookup_map_are_refused(weights):
    with pytest.raises(CheckpointError, match=r"lookup|hold no"):
        lookup_from_weights(weights, prefix="lookup.")


def test_every_baseline_predicts_and_the_copy_is_a_copy():
    source, mask = random_case(7)
    before = source.copy()

    predictions = predict_baselines(
        torch.from_numpy(source),
        torch.from_numpy(mask.astype(np.float32)),
        histogram=fit_histogram_match([random_case(8)]),
        lookup=LookupMap(),
        rank_lookup=LookupMap(),
    )

    assert tuple(predictions) == BASELINES
    ranks = (rankdata(source[mask]) - 1) / (mask.sum() - 1)
    np.testing.assert_allclose(predictions[BASELINES[3]].numpy()[mask], ranks, atol=5e-3)
    np.testing.assert_array_equal(predictions[BASELINES[0]].numpy(), source)
    assert all(p.shape == source.shape for p in predictions.values())
    predictions[BASELINES[0]].zero_()
    np.testing.assert_array_equal(source, before)
