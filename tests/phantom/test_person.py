from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.phantom.anatomy import Template
from medtranslate.phantom.contrast import Tissue
from medtranslate.phantom.person import Anatomy, Person, draw_person, first_visit, scan_grid

OUTSIDE_BRAIN = [Tissue.BONE, Tissue.MARROW, Tissue.FAT, Tissue.MUSCLE, Tissue.SKIN, Tissue.EYE]


def test_fractions_sum_to_one(first: Anatomy, second: Anatomy) -> None:
    for anatomy in (first, second):
        assert anatomy.fractions.min() >= 0.0
        np.testing.assert_allclose(anatomy.fractions.sum(axis=0), 1.0, atol=1e-9)


def test_volumes_are_those_of_a_human_head(first: Anatomy) -> None:
    mask_ml = first.brain.sum() * 4.0**3 / 1000.0

    assert 1000.0 < first.brain_volume_ml < 1600.0
    assert first.brain_volume_ml < mask_ml < 1900.0
    assert 0.5 < first.lesion_volume_ml < 40.0


def test_the_brain_lies_inside_the_skull(first: Anatomy) -> None:
    within = first.fractions[:, first.brain]

    assert within[[Tissue.CSF, Tissue.GREY_MATTER, Tissue.WHITE_MATTER, Tissue.LESION]].sum() > (
        0.97 * first.brain.sum()
    )
    assert within[Tissue.AIR].max() < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_nobody_is_folded(template: Template, seed: int) -> None:
    person = draw_person(np.random.default_rng(seed), template)

    assert person.deformation.jacobian().min() > 0.1
    assert np.linalg.det(person.pose[:, :3]) > 0.0


def test_the_brain_shrinks_by_the_stated_part(
    person: Person, first: Anatomy, second: Anatomy
) -> None:
    lost = 1.0 - second.brain_volume_ml / first.brain_volume_ml

    assert 0.005 < person.atrophy < 0.03
    np.testing.assert_allclose(lost, person.atrophy, atol=2e-4)


def test_the_lesions_grow_by_the_stated_part(
    person: Person, first: Anatomy, second: Anatomy
) -> None:
    gained = second.lesion_volume_ml / first.lesion_volume_ml - 1.0

    assert person.growth > 0.2
    np.testing.assert_allclose(gained, person.growth, atol=0.01)


def test_what_is_lost_becomes_fluid_and_the_skull_stays(first: Anatomy, second: Anatomy) -> None:
    fluid = second.fractions[Tissue.CSF].sum() - first.fractions[Tissue.CSF].sum()
    voxel_ml = 4.0**3 / 1000.0

    np.testing.assert_allclose(
        fluid * voxel_ml, first.brain_volume_ml - second.brain_volume_ml, rtol=0.1
    )
    np.testing.assert_array_equal(second.brain, first.brain)
    np.testing.assert_allclose(
        second.fractions[OUTSIDE_BRAIN], first.fractions[OUTSIDE_BRAIN], atol=0.25
    )


def test_old_lesions_do_not_heal(first: Anatomy, second: Anatomy) -> None:
    sure = first.lesion > 0.7

    assert sure.sum() > 3
    assert (second.lesion[sure] > 0.4).mean() > 0.95


def test_ageing_takes_brain_and_widens_the_ventricles(
    person: Person, template: Template, first: Anatomy, grid: Geometry
) -> None:
    older = first_visit(replace(person, ageing=person.ageing + 1.0), template, grid)
    middle = np.zeros(grid.shape, dtype=bool)
    middle[15:31, 20:40, 14:28] = True  # around the ventricles, away from the cortex

    assert older.brain_volume_ml < 0.99 * first.brain_volume_ml
    assert (
        older.fractions[Tissue.CSF][middle].sum() > 1.02 * first.fractions[Tissue.CSF][middle].sum()
    )


@pytest.mark.parametrize("spacing", [2.0, 3.0, 8.0])
def test_the_grid_covers_the_head_at_any_spacing(spacing: float) -> None:
    grid = scan_grid(spacing)

    assert grid.spacing == (spacing,) * 3
    assert grid.orientation == "RAS"
    assert len(set(grid.shape)) == 3
    extent = spacing * np.array(grid.shape)
    assert (np.abs(extent - [178.0, 214.0, 168.0]) < 1.5 * spacing).all()
