"""Lesions put in and taken out: where, how large, how strong, and what stays."""

from __future__ import annotations

import numpy as np
import pytest

from medtranslate.data.lesion_edits import (
    SimulatedLesion,
    draw_lesions,
    erase_lesions,
    insert_lesions,
)

SPACING = (1.0, 1.5, 2.0)
SHAPE = (48, 36, 26)


def ball(centre, radius):
    """Voxels within ``radius`` mm of a voxel."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    return np.linalg.norm((index - centre) * SPACING, axis=-1) <= radius


@pytest.fixture
def patient():
    """A bright, uniform patient with a dark, a bumpy and a lesioned place."""
    mask = np.zeros(SHAPE, bool)
    mask[2:-2, 2:-2, 2:-2] = True
    source = np.where(mask, 500.0, 0.0)
    source[2:12] = 100
    bumps = np.random.default_rng(0).normal(0, 80, SHAPE)
    source[36:46] += bumps[36:46] * mask[36:46]
    lesions = ball((24, 10, 12), 4)
    return source, mask, lesions


def test_an_ellipsoid_has_its_half_axes_in_millimetres():
    lesion = SimulatedLesion((20, 15, 12), 5.0, (4.0, 6.0, 5.2))

    core = lesion.cover(SHAPE, SPACING) >= 0.5

    reach = [np.flatnonzero(core.any(axis=tuple({0, 1, 2} - {n}))) for n in range(3)]
    assert [(int(r[0]), int(r[-1])) for r in reach] == [(16, 24), (11, 19), (10, 14)]
    volume = np.count_nonzero(core) * np.prod(SPACING)
    np.testing.assert_allclose(volume, 4 / 3 * np.pi * 4 * 6 * 5.2, rtol=0.1)


def test_its_edge_fades_over_a_millimetre():
    lesion = SimulatedLesion((20, 15, 12), 5.0, (5.0, 5.0, 5.0))

    along = lesion.cover(SHAPE, (0.25, 1.5, 2.0))[:, 15, 12]

    np.testing.assert_allclose(along[20 + 16 : 20 + 25], [1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0])


@pytest.mark.parametrize("seed", range(8))
def test_a_lesion_lies_in_a_healthy_uniform_place_away_from_every_border(patient, seed):
    source, mask, lesions = patient

    drawn = draw_lesions(
        source,
        mask,
        avoid=lesions,
        spacing=SPACING,
        radii_mm=(3.0, 2.0),
        margin_mm=4.0,
        generator=np.random.default_rng(seed),
    )

    assert [lesion.radius_mm for lesion in drawn] == [3.0, 2.0]
    kept_clear = [ball(one.centre, max(one.half_axes_mm) + 4.0) for one in drawn]
    for lesion, clear in zip(drawn, kept_clear, strict=True):
        assert mask[clear].all()
        assert not lesions[clear].any()
        assert 12 <= lesion.centre[0] < 36
        np.testing.assert_allclose(np.cbrt(np.prod(lesion.half_axes_mm)), lesion.radius_mm)
    assert not (kept_clear[0] & kept_clear[1]).any()


def test_the_same_seed_draws_the_same_place_and_another_another(patient):
    source, mask, lesions = patient

    def draw(seed):
        generator = np.random.default_rng(seed)
        return draw_lesions(
            source,
            mask,
            avoid=lesions,
            spacing=SPACING,
            radii_mm=(2.0,),
            margin_mm=3.0,
            generator=generator,
        )

    assert draw(1) == draw(1)
    assert len({draw(seed)[0].centre for seed in range(6)}) > 3


def test_a_lesion_that_finds_no_place_is_left_out(patient):
    source, mask, lesions = patient

    drawn = draw_lesions(
        source,
        mask,
        avoid=lesions,
        spacing=SPACING,
        radii_mm=(30.0, 2.0),
        margin_mm=3.0,
        generator=np.random.default_rng(0),
    )

    assert [lesion.radius_mm for lesion in drawn] == [2.0]


def test_an_inserted_lesion_is_a_share_of_what_is_there(patient):
    source, _, _ = patient
    lesion = SimulatedLesion((20, 15, 12), 5.0, (4.0, 6.0, 5.2))
    cover = lesion.cover(SHAPE, SPACING)

    changed = insert_lesions(source, [lesion], contrast=-0.3, spacing=SPACING)

    np.testing.assert_allclose(changed[cover == 1], 0.7 * source[cover == 1])
    np.testing.assert_array_equal(changed[cover == 0], source[cover == 0])
    np.testing.assert_allclose(changed, source * (1 - 0.3 * cover))


def test_an_erased_lesion_takes_the_value_of_the_tissue_around_it(patient):
    """Two tissues meet at the lesion: the fill goes from one to the other."""
    _, mask, lesions = patient
    healthy = np.where(np.arange(SHAPE[0])[:, None, None] < 24, 300.0, 600.0) * mask
    source = np.where(lesions, 50.0, healthy)

    erased = erase_lesions(source, lesions, mask=mask, spacing=SPACING)

    filled = erased[20:29, 10, 12]
    assert (np.diff(filled) > 0).all()
    assert filled[0] < 350
    assert filled[-1] > 550
    far = ~ball((24, 10, 12), 5.5)
    np.testing.assert_array_equal(erased[far], source[far])


def test_an_erased_lesion_takes_nothing_from_outside_the_patient(patient):
    _, mask, _ = patient
    source = np.where(mask, 500.0, -1000.0)
    lesions = ball((4, 10, 12), 4) & mask
    source[lesions] = 100

    erased = erase_lesions(source, lesions, mask=mask, spacing=SPACING)

    np.testing.assert_allclose(erased[mask], 500)
    np.testing.assert_array_equal(erased[~mask], -1000)


def test_a_patient_who_is_all_lesion_is_refused(patient):
    source, mask, _ = patient

    with pytest.raises(ValueError, match="fill the whole mask"):
        erase_lesions(source, mask, mask=mask, spacing=SPACING)
