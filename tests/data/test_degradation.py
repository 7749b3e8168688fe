"""Damage of known strength: what changes, by how much, and what must stay."""

from __future__ import annotations

import numpy as np
import pytest

from medtranslate.data.degradation import (
    DEGRADATIONS,
    add_bias,
    add_noise,
    drop_slices,
    lower_resolution,
    rescale_intensity,
    through_plane_axis,
)
from medtranslate.geometry import Geometry
from medtranslate.volume import Volume

AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])


def scan(voxels, affine=AFFINE, **facts):
    return Volume(voxels.astype(np.float32)[None], Geometry(voxels.shape, affine), **facts)


@pytest.fixture
def stripped():
    """A brain of 400 to 600 in a background that is exactly 0."""
    voxels = np.zeros((30, 28, 24))
    voxels[4:26, 5:24, 3:20] = np.random.default_rng(0).uniform(400, 600, (22, 19, 17))
    return scan(voxels)


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=lambda one: one.name)
def test_every_damage_grows_with_its_strength_and_can_be_repeated(stripped, degradation):
    def change(strength):
        return np.abs(degradation.apply(stripped, strength).voxels - stripped.voxels).mean()

    away = sorted(degradation.strengths, key=lambda one: abs(one - degradation.neutral))
    sizes = [change(one) for one in (degradation.neutral, *away)]

    np.testing.assert_allclose(sizes[0], 0, atol=1e-4)
    assert sizes == sorted(sizes)
    assert sizes[-1] > 10
    again = [degradation.apply(stripped, away[-1]).array for _ in range(2)]
    np.testing.assert_array_equal(*again)


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=lambda one: one.name)
def test_what_was_stripped_stays_empty_and_the_grid_stays(stripped, degradation):
    """Else the damage would change the mask, and not the scan."""
    damaged = degradation.apply(stripped, degradation.strengths[-1])

    assert damaged.geometry is stripped.geometry
    assert damaged.array.dtype == np.float32
    assert not damaged.voxels[stripped.voxels == 0].any()


def test_noise_has_the_standard_deviation_asked_for(stripped):
    """Far above the noise, a Rician magnitude varies as its Gaussian channel."""
    inside = stripped.voxels > 0

    noise = (add_noise(stripped, 0.05).voxels - stripped.voxels)[inside]

    expected = 0.05 * np.percentile(stripped.voxels[inside], 99.5)
    np.testing.assert_allclose(noise.std(), expected, rtol=0.03)


def test_noise_of_ct_may_go_below_zero_and_lies_in_air_too():
    voxels = np.full((20, 20, 20), -1000.0)
    voxels[5:15, 5:15, 5:15] = 40
    ct = scan(voxels, unit="HU", modality="CT")

    noise = add_noise(ct, 0.02).voxels - ct.voxels

    expected = 0.02 * np.percentile(ct.voxels + 1024.0, 99.5)
    np.testing.assert_allclose(noise.std(), expected, rtol=0.03)
    np.testing.assert_allclose(noise.mean(), 0, atol=expected / 20)


def test_a_bias_field_is_a_smooth_gain_of_its_strength():
    whole = scan(np.full((40, 40, 30), 100.0), np.diag([5.0, 5.0, 6.0, 1.0]))

    logarithm = np.log(add_bias(whole, 0.3).voxels / 100)

    np.testing.assert_allclose(logarithm.std(), 0.3, rtol=1e-3)
    np.testing.assert_allclose(logarithm.mean(), 0, atol=1e-3)
    assert max(np.abs(np.diff(logarithm, axis=axis)).max() for axis in range(3)) < 0.15


def test_thicker_slices_are_the_mean_over_their_thickness():
    """Two voxels of 3 mm make a slice of 6 mm; its own middle lies between them."""
    voxels = np.random.default_rng(1).uniform(100, 200, (4, 5, 12))
    pairs = voxels.reshape(4, 5, 6, 2).mean(axis=3)
    upper, lower = 0.75, 0.25

    thick = lower_resolution(scan(voxels), 6.0).voxels

    # Voxel 2n+1 lies a quarter of the way from the middle of slice n to that of slice n + 1.
    np.testing.assert_allclose(
        thick[:, :, 1:-1:2], upper * pairs[:, :, :-1] + lower * pairs[:, :, 1:], rtol=1e-6
    )
    np.testing.assert_allclose(thick[:, :, 0], pairs[:, :, 0], rtol=1e-6)


def test_a_thickness_that_is_no_multiple_keeps_a_constant_and_a_ramp():
    ramp = np.broadcast_to(np.arange(20.0) + 5, (3, 3, 20))

    thick = lower_resolution(scan(ramp), 7.0).voxels

    # Voxels are boxes of one value: where a cut goes through one, the mean is off by 1/24 at most.
    np.testing.assert_allclose(thick[:, :, 2:-2], ramp[:, :, 2:-2], atol=0.05)
    flat = scan(np.full((3, 3, 20), 7.0))
    np.testing.assert_allclose(lower_resolution(flat, 7.0).voxels, 7.0, rtol=1e-6)


def test_slices_thinner_than_the_grid_change_nothing(stripped):
    assert lower_resolution(stripped, 3.0) is stripped


@pytest.mark.parametrize(
    ("diagonal", "axis"),
    [((1, 1, 3), 2), ((4, 1, 1), 0), ((1, 1, 1), 2), ((1, 1.02, 1), 2), ((1, 2, 1), 1)],
)
def test_slices_lie_along_the_thickest_axis_else_from_foot_to_head(diagonal, axis):
    assert through_plane_axis(scan(np.zeros((3, 3, 3)), np.diag([*diagonal, 1.0]))) == axis


def test_of_equal_axes_the_one_from_foot_to_head_is_found_in_any_order():
    upright_first = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 0], [0, 0, 0, 1]], float)

    assert through_plane_axis(scan(np.zeros((3, 3, 3)), upright_first)) == 0


def test_the_fraction_of_slices_is_lost_and_more_of_them_at_a_higher_strength(stripped):
    filled = np.flatnonzero(stripped.voxels.any(axis=(0, 1)))

    def lost(strength):
        left = drop_slices(stripped, strength).voxels.any(axis=(0, 1))
        return {index for index in filled if not left[index]}

    assert len(filled) == 17
    assert [len(lost(strength)) for strength in (0.0, 0.1, 0.2, 1.0)] == [0, 2, 3, 17]
    assert lost(0.1) < lost(0.2)


def test_a_lost_slice_of_ct_is_air():
    ct = scan(np.full((4, 4, 10), 30.0), unit="HU", modality="CT")

    damaged = drop_slices(ct, 0.2).voxels

    assert sorted(np.unique(damaged)) == [-1024, 30]
    assert np.count_nonzero(damaged[0, 0] == -1024) == 2


def test_a_factor_multiplies(stripped):
    np.testing.assert_allclose(
        rescale_intensity(stripped, 2.0).voxels, 2 * stripped.voxels, rtol=1e-6
    )


def test_calibrated_ct_is_spared_gain_and_bias():
    assert [one.name for one in DEGRADATIONS if not one.for_ct] == ["bias field", "intensity"]
