"""What a reference and a mask must be before anything is scored against them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medtranslate.errors import ConfigError, DatasetError, GeometryError
from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.yardstick import find_voxel_axis, make_yardstick, require_same_grid
from medtranslate.volume import Volume


def with_voxels(volume, voxels):
    return replace(volume, array=voxels[None])


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_slices_lie_across_the_named_direction_in_every_orientation(make_affine, orientation, axis):
    geometry = Geometry((4, 5, 6), make_affine(orientation, degrees=(9.0, -11.0, 14.0)))

    found = find_voxel_axis(geometry, axis)

    assert geometry.orientation[found] in {"axial": "IS", "coronal": "PA", "sagittal": "LR"}[axis]


def test_the_reference_is_divided_by_its_percentile_inside_the_mask(make_pair):
    reference, prediction, mask = make_pair()

    yardstick = make_yardstick(reference, mask, Protocol())

    expected = np.percentile(reference.voxels[mask].astype(np.float64), 99.5)
    assert yardstick.factor == pytest.approx(expected)
    brought = yardstick.bring(prediction.voxels, scale=None)
    np.testing.assert_allclose(np.moveaxis(brought, 0, 2), prediction.voxels / expected)


def test_a_brighter_prediction_is_forgiven_only_by_scale_each(make_pair):
    reference, _, mask = make_pair()
    brighter = 3.0 * reference.voxels.astype(np.float64)

    shared, each = (
        make_yardstick(reference, mask, Protocol(scale=rule)).bring(brighter, scale=None)
        for rule in ("shared", "each")
    )

    np.testing.assert_allclose(shared, 3.0 * each)


def test_scale_sidecar_without_a_sidecar_says_what_to_do(make_pair):
    reference, prediction, mask = make_pair()
    yardstick = make_yardstick(reference, mask, Protocol(scale="sidecar"))

    with pytest.raises(DatasetError, match="--scale shared"):
        yardstick.bring(prediction.voxels, scale=None)


def test_scale_none_without_a_range_says_what_to_do(make_pair):
    reference, _, mask = make_pair()

    with pytest.raises(ConfigError, match="--data-range"):
        make_yardstick(reference, mask, Protocol(scale="none"))


def test_scale_none_keeps_values_and_takes_the_range(make_pair):
    reference, _, mask = make_pair()

    yardstick = make_yardstick(reference, mask, Protocol(scale="none", data_range=2500.0))

    assert (yardstick.data_range, yardstick.factor) == (2500.0, 1.0)
    np.testing.assert_array_equal(np.moveaxis(yardstick.reference, 0, 2), reference.voxels)


def test_an_empty_mask_is_refused(make_pair):
    reference, _, mask = make_pair()

    with pytest.raises(GeometryError, match="mask is empty"):
        make_yardstick(reference, np.zeros_like(mask), Protocol())


def test_a_mask_of_another_shape_is_refused(make_pair):
    reference, _, mask = make_pair()

    with pytest.raises(GeometryError, match=r"mask has shape \(26, 23, 18\)"):
        make_yardstick(reference, mask[:, :, 1:], Protocol())


def test_a_mask_too_small_for_every_slice_is_refused(make_pair):
    reference, _, mask = make_pair()
    speck = np.zeros_like(mask)
    speck[12, 11, 9] = True

    with pytest.raises(DatasetError, match=r"no axial slice has 1 % .* give a larger mask"):
        make_yardstick(reference, speck, Protocol())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_not_finite_are_refused_with_their_number(make_pair, value):
    reference, prediction, mask = make_pair()
    broken = prediction.voxels.copy()
    broken[3:5, 7, 2] = value

    with pytest.raises(DatasetError, match="prediction holds 2 voxels"):
        make_yardstick(reference, mask, Protocol()).bring(broken, scale=None)
    with pytest.raises(DatasetError, match="reference holds 2 voxels"):
        make_yardstick(with_voxels(reference, broken), mask, Protocol())


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_reference_without_positive_values_cannot_be_scaled(make_pair, value):
    reference, _, mask = make_pair()
    flat = np.full_like(reference.voxels, value)

    with pytest.raises(DatasetError, match=r"percentile 99\.5 inside the mask"):
        make_yardstick(with_voxels(reference, flat), mask, Protocol())


def test_ct_that_nobody_calls_ct_is_refused(make_pair):
    reference, _, mask = make_pair()
    unnamed = Volume(
        np.where(mask, reference.voxels - 900, -1000.0)[None].astype(np.float32),
        reference.geometry,
    )

    with pytest.raises(DatasetError, match=r"looks like CT .*--data-range 4095"):
        make_yardstick(unnamed, mask, Protocol())


def test_equal_grids_pass_and_another_spacing_is_described(make_pair):
    reference, _, _ = make_pair()
    other = Geometry(reference.geometry.shape, reference.geometry.affine @ np.diag([1, 1, 2, 1.0]))

    require_same_grid(reference.geometry, reference.geometry, what="prediction")
    with pytest.raises(GeometryError, match=r"2\.1 mm, LAS.*4\.2 mm, LAS.*never resampled"):
        require_same_grid(reference.geometry, other, what="prediction")
