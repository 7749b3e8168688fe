"""A segmenter that learns phantoms, and is not fooled by nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from medtranslate.metrics.regions import dice
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.segmenter import (
    LabelledScan,
    Recipe,
    Segmenter,
    train_segmenter,
    weigh_labels,
)

SHAPE = (28, 24, 20)
RECIPE = Recipe(num_steps=120, patch_size=16)


def phantom(seed):
    """An ellipsoid with a brighter one inside it, at a place of its own for each person."""
    generator = np.random.default_rng(seed)
    shape = np.array(SHAPE)[:, None, None, None]
    place = np.indices(SHAPE) - shape / 2 - generator.uniform(-1, 1, (3, 1, 1, 1))
    body = ((place / (0.42 * shape)) ** 2).sum(0) < 1
    centre = generator.uniform(-1, 1, (3, 1, 1, 1)) * np.array([4, 3, 2])[:, None, None, None]
    size = np.array([5, 4, 3.5])[:, None, None, None]
    core = body & ((((place - centre) / size) ** 2).sum(0) < 1)
    labels = body.astype(int) + core
    noise = generator.normal(size=SHAPE) * 0.06
    scan = np.where(body, np.array([0, 0.4, 0.8])[labels] + noise, 0)
    return LabelledScan(
        *(torch.from_numpy(one.astype(np.float32))[None] for one in (scan, labels, body))
    )


def learn(recipe=RECIPE):
    return train_segmenter(
        [phantom(seed) for seed in (1, 2, 3)],
        num_labels=2,
        recipe=recipe,
        fabric=Fabric(accelerator="cpu", devices=1, precision="32-true"),
        progress=NoProgress(),
    )


@pytest.fixture(scope="module")
def segmenter():
    return learn()


@pytest.mark.parametrize("seed", [11, 12])
def test_a_held_out_phantom_is_segmented(segmenter, seed):
    scan = phantom(seed)

    found = segmenter.segment(scan.image, scan.mask)

    truth = scan.labels.numpy()[0]
    assert dice(truth == 1, found == 1) > 0.9
    assert dice(truth == 2, found == 2) > 0.9
    assert found.shape == SHAPE


def test_a_blank_scan_holds_almost_nothing(segmenter):
    scan = phantom(11)

    found = segmenter.segment(torch.zeros_like(scan.image), scan.mask)

    truth = scan.labels.numpy()[0]
    assert dice(truth == 1, found == 1) < 0.05
    assert dice(truth == 2, found == 2) < 0.05


def test_nothing_outside_the_mask_is_labelled_or_looked_at(segmenter):
    scan = phantom(12)
    half = scan.mask.clone()
    half[:, 14:] = 0
    bright = torch.where(half > 0, scan.image, 0.8)

    found = segmenter.segment(bright, half)

    np.testing.assert_array_equal(found[14:], 0)
    np.testing.assert_array_equal(found, segmenter.segment(scan.image * half, half))


class LabelEverything(torch.nn.Module):
    """A network that sees the second label everywhere."""

    def forward(self, image):
        scores = torch.zeros(len(image), 3, *image.shape[2:])
        scores[:, 2] = 1
        return scores


def test_even_a_network_that_labels_everything_labels_nothing_outside_the_mask(segmenter):
    scan = phantom(12)

    found = Segmenter(LabelEverything(), 2, segmenter.fabric, 16).segment(scan.image, scan.mask)

    np.testing.assert_array_equal(found, 2 * scan.mask.numpy()[0])


def test_the_same_recipe_gives_the_same_network_and_leaves_random_numbers_alone():
    short = Recipe(num_steps=3, patch_size=16)
    torch.manual_seed(5)
    first = learn(short).network.state_dict()
    drawn = torch.rand(3)
    second = learn(short).network.state_dict()
    other = learn(Recipe(num_steps=3, patch_size=16, seed=1)).network.state_dict()

    torch.manual_seed(5)
    torch.testing.assert_close(drawn, torch.rand(3), rtol=0, atol=0)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=0)
    assert any(not torch.equal(other[name], value) for name, value in first.items())


def test_the_recipe_is_told_in_words():
    words = Recipe(num_steps=1200, seed=7).describe()

    assert "1,200 steps of 2 patches of 48³ voxels" in words
    assert "seed 7" in words


def test_a_label_four_times_as_rare_weighs_twice_as_much():
    labels = torch.zeros(1, 10, 10, 10)
    labels[0, 0, :8], labels[0, 0, 8:] = 1, 2
    scan = LabelledScan(labels, labels, labels)

    weights = weigh_labels([scan, scan], num_labels=3)

    np.testing.assert_allclose(weights[2] / weights[1], 2, rtol=1e-6)
    np.testing.assert_allclose(weights[1] / weights[0], np.sqrt(900 / 80), rtol=1e-6)
    np.testing.assert_allclose(weights[3] / weights[1], np.sqrt(0.08 / 1e-4), rtol=1e-6)
    np.testing.assert_allclose(weights.mean(), 1, rtol=1e-6)
