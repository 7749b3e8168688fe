from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from medtranslate.phantom.contrast import Tissue
from medtranslate.phantom.fields import Field, Texture
from medtranslate.phantom.head import HeadShape, surround_brain

FLAT = Texture((Field(np.zeros((2, 2, 2)), np.zeros(3), 100.0),))
SHAPE = HeadShape(fluid=1.0, inner_table=2.0, marrow=3.0, outer_table=2.5, muscle=2.0, fat=4.0)


@pytest.fixture(scope="module")
def ray() -> np.ndarray:
    """Fractions along a line that leaves the brain upwards, one voxel each 0.1 mm."""
    distance = np.arange(-5.0, 30.0, 0.1)
    points = np.stack([np.zeros_like(distance), np.full_like(distance, -20.0), 80.0 + distance])
    return surround_brain(
        distance[:, None, None], points[:, :, None, None], SHAPE, FLAT, spacing_mm=0.1
    )[..., 0, 0]


def test_layers_follow_each_other_from_fluid_to_air(ray: np.ndarray) -> None:
    order = [Tissue(tissue).name for tissue, _ in groupby(ray.argmax(axis=0))]

    assert order == ["CSF", "BONE", "MARROW", "BONE", "MUSCLE", "FAT", "SKIN", "AIR"]


@pytest.mark.parametrize(
    ("tissue", "thickness_mm"),
    [
        (Tissue.BONE, 4.5),
        (Tissue.MARROW, 3.0),
        (Tissue.MUSCLE, 2.0),
        (Tissue.FAT, 4.0),
        (Tissue.SKIN, SHAPE.skin),
    ],
)
def test_layers_are_as_thick_as_asked(ray: np.ndarray, tissue: Tissue, thickness_mm: float) -> None:
    np.testing.assert_allclose(ray[tissue].sum() * 0.1, thickness_mm, atol=0.06)


def test_fractions_of_a_random_head_sum_to_one_and_are_none_negative() -> None:
    generator = np.random.default_rng(0)
    points = generator.uniform(-90, 100, size=(3, 20, 20, 20))
    distance = np.sqrt((points**2).sum(axis=0)) - 75.0
    noise = Texture((Field(generator.standard_normal((6, 6, 6)), np.full(3, -100.0), 40.0),))

    fractions = surround_brain(distance, points, HeadShape(), noise, spacing_mm=4.0)

    assert fractions.min() >= 0.0
    np.testing.assert_allclose(fractions.sum(axis=0), 1.0, atol=1e-12)


def test_the_cranium_holds_fluid_and_nothing_else() -> None:
    points = np.random.default_rng(0).uniform(-90, 100, size=(3, 20, 20, 20))
    distance = np.sqrt((points**2).sum(axis=0)) - 75.0

    fractions = surround_brain(distance, points, SHAPE, FLAT, spacing_mm=2.0)

    np.testing.assert_allclose(fractions[Tissue.CSF][distance < 0.0], 1.0)


def test_eyes_lie_on_both_sides_in_front_and_air_between_them() -> None:
    places = {"left": (-33, 62, -38), "right": (33, 62, -38), "ethmoid": (9, 48, -44)}
    points = np.array(list(places.values()), dtype=float).T[:, :, None, None]

    fractions = surround_brain(np.full((3, 1, 1), 20.0), points, SHAPE, FLAT, spacing_mm=1.0)

    found = [Tissue(n).name for n in fractions.argmax(axis=0).ravel()]
    assert found == ["EYE", "EYE", "AIR"]
