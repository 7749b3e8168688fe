from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from medtranslate.geometry import Geometry
from medtranslate.phantom.anatomy import Template
from medtranslate.phantom.contrast import Tissue
from medtranslate.phantom.courses import (
    DISEASES,
    GROUPS,
    VISIBLE_DENSITY,
    AbstractCourse,
    AtrophyCourse,
    Disease,
    LesionCourse,
    LesionHistory,
    TumourCourse,
    draw_pace,
    start_course,
)
from medtranslate.phantom.pathology import draw_lesions
from medtranslate.phantom.person import Anatomy, Person


@pytest.fixture(scope="module")
def atrophy(person: Person, template: Template, grid: Geometry) -> AtrophyCourse:
    return AtrophyCourse(person, template, grid, ageing_per_year=0.4)


@pytest.fixture(scope="module")
def tumour(person: Person, template: Template, grid: Geometry) -> TumourCourse:
    return TumourCourse(
        person, template, grid, np.random.default_rng(5), diffusivity=20.0, proliferation=12.0
    )


def pull(values: np.ndarray, pulled: np.ndarray, spacing_mm: float) -> np.ndarray:
    index = np.indices(values.shape) + pulled / spacing_mm
    return ndimage.map_coordinates(values, index, order=1, mode="nearest")


def test_atrophy_starts_at_the_first_visit_and_moves_by_the_truth_it_tells(
    atrophy: AtrophyCourse, first: Anatomy
) -> None:
    start, later = atrophy.stage(0.0), atrophy.stage(2.5)

    np.testing.assert_array_equal(start.anatomy.fractions, first.fractions)
    assert start.pulled is not None
    assert later.pulled is not None
    assert not start.pulled.any()
    before, after = (
        ndimage.gaussian_filter(stage.anatomy.fractions[Tissue.WHITE_MATTER], 1.0)
        for stage in (start, later)
    )
    changed = np.abs(after - before) > 0.03
    moved = pull(before, later.pulled, 4.0)
    wrong = pull(before, -later.pulled, 4.0)
    still = np.abs(after - before)[changed].mean()
    assert np.abs(after - moved)[changed].mean() < 0.45 * still
    assert np.abs(after - wrong)[changed].mean() > still


def test_atrophy_is_a_flow_whose_parts_add_up(atrophy: AtrophyCourse) -> None:
    one, two, three = (atrophy.stage(years).pulled for years in (1.0, 2.0, 3.0))
    assert one is not None
    assert two is not None
    assert three is not None

    composed = one + np.stack([pull(part, one, 4.0) for part in two])

    assert np.abs(composed - three).max() < 0.1 * np.abs(three).max()


def test_ventricles_widen_as_the_brain_shrinks(atrophy: AtrophyCourse) -> None:
    volumes = [atrophy.stage(years).volumes_ml for years in (0.0, 1.0, 2.0)]
    ventricles = [v["ventricles"] for v in volumes]
    brain = [v["brain"] for v in volumes]

    assert 10.0 < ventricles[0] < ventricles[1] < ventricles[2] < 1.3 * ventricles[0]
    assert brain[0] > brain[1] > brain[2] > 0.95 * brain[0]
    mask = atrophy.stage(2.0).masks["ventricles"]
    np.testing.assert_allclose(mask.sum() * 0.064, ventricles[2], rtol=0.3)


def test_a_tumour_starts_at_the_volume_drawn_and_grows_outwards(tumour: TumourCourse) -> None:
    start, later = tumour.stage(0.0), tumour.stage(0.4)
    assert start.density is not None
    assert later.density is not None
    assert start.pulled is not None
    assert later.pulled is not None

    assert 2.5 < start.volumes_ml["tumor"] < 20.0
    assert later.volumes_ml["tumor"] > 1.5 * start.volumes_ml["tumor"]
    assert np.mean(later.density[start.masks["tumor"]] >= VISIBLE_DENSITY) > 0.97
    np.testing.assert_array_equal(start.masks["tumor"], start.density >= VISIBLE_DENSITY)
    assert np.abs(start.pulled).max() < 0.1
    centre = np.array(ndimage.center_of_mass(later.density))
    near = ndimage.binary_dilation(later.masks["tumor"], iterations=1) & ~later.masks["tumor"]
    outward = np.argwhere(near).T - centre[:, None]
    inward = -(outward * later.pulled[:, near]).sum(axis=0)
    assert np.mean(inward > 0) > 0.85


def test_the_tumour_replaces_tissue_and_fractions_stay_whole(tumour: TumourCourse) -> None:
    stage = tumour.stage(0.4)

    fractions = stage.anatomy.fractions
    np.testing.assert_allclose(fractions.sum(axis=0), 1.0, atol=1e-9)
    core = ndimage.binary_erosion(stage.masks["tumor"])
    assert fractions[Tissue.LESION][core].mean() > 0.6
    assert fractions[Tissue.LESION][~ndimage.binary_dilation(stage.masks["tumor"])].max() < 0.01


def history(**changes: float) -> LesionHistory:
    numbers = {"onset": 1.0, "growth_years": 0.2, "resolves": 3.0, "fading_years": 0.5, **changes}
    lesion = None
    return LesionHistory(lesion, **numbers)  # type: ignore[arg-type]  # its size needs no lesion


def test_a_lesion_appears_grows_and_resolves() -> None:
    sizes = [history().size(years) for years in (0.0, 1.0, 1.2, 3.0, 3.5)]

    grown = 1 - np.exp(-10.0)
    np.testing.assert_allclose(
        sizes, [0.0, 0.0, 1 - np.exp(-1.0), grown, (1 - np.exp(-12.5)) * np.exp(-1.0)]
    )
    assert history(resolves=np.inf).size(50.0) > 0.999


def test_new_and_resolved_lesions_are_told_against_the_first_visit(
    person: Person, template: Template, grid: Geometry
) -> None:
    old, new = draw_lesions(np.random.default_rng(8), template, number=2)
    big = [replace(lesion, radii=np.full(3, 9.0)) for lesion in (old, new)]
    histories = (
        replace(history(onset=-5.0, resolves=0.5, fading_years=0.3), lesion=big[0]),
        replace(history(onset=1.0, resolves=np.inf), lesion=big[1]),
    )
    course = LesionCourse(person, template, grid, histories)

    start, later = course.stage(0.0), course.stage(2.5)

    assert not (start.masks["newlesion"] | start.masks["resolvedlesion"]).any()
    assert later.masks["newlesion"].sum() >= 5
    np.testing.assert_array_equal(later.masks["resolvedlesion"], start.anatomy.lesion >= 0.5)
    np.testing.assert_array_equal(later.masks["newlesion"], later.anatomy.lesion >= 0.5)
    assert start.pulled is None
    assert later.density is None


@pytest.mark.parametrize("disease", DISEASES)
def test_the_faster_group_is_faster_and_education_says_nothing(
    disease: Disease, person: Person
) -> None:
    paces = [draw_pace(disease, np.random.default_rng(n), person) for n in range(200)]
    column, slow, fast = GROUPS[disease]
    rates = {
        group: [p.rate for p in paces if p.covariates[column] == group] for group in (slow, fast)
    }
    education = [float(p.covariates["education_years"]) for p in paces]

    assert min(rates[fast]) > max(rates[slow])
    assert abs(np.corrcoef(education, [p.rate for p in paces])[0, 1]) < 0.2


def test_age_drives_atrophy_alone(person: Person) -> None:
    old, young = replace(person, age=63), replace(person, age=23)

    def ratio(disease: Disease) -> float:
        first, second = (
            draw_pace(disease, np.random.default_rng(2), who).rate for who in (old, young)
        )
        return first / second

    np.testing.assert_allclose(ratio("atrophy"), 1.4 / 0.6)
    np.testing.assert_allclose([ratio("tumour"), ratio("lesions")], 1.0)


@pytest.mark.parametrize(
    ("disease", "kind"),
    [("atrophy", AtrophyCourse), ("tumour", TumourCourse), ("lesions", LesionCourse)],
)
def test_a_disease_gets_its_course(
    disease: Disease,
    kind: type[AbstractCourse],
    person: Person,
    template: Template,
    grid: Geometry,
) -> None:
    course = start_course(disease, np.random.default_rng(1), person, template, grid, rate=1.0)

    assert isinstance(course, kind)
