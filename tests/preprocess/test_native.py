import numpy as np
import pytest
import torch
from scipy import ndimage

from medtranslate.errors import GeometryError
from medtranslate.io import read_volume
from medtranslate.preprocess.native import native_mask, reference_on_source, restore
from medtranslate.preprocess.preparation import prepare
from medtranslate.preprocess.settings import NoIntensity, PreprocessSettings
from medtranslate.volume import CT_SCALE, IntensityScale

UNIT = IntensityScale(0.0, 1.0)


def test_the_identity_gives_the_input_back_to_the_bit(make_scan, orientation):
    path, _ = make_scan(orientation=orientation, degrees=(11.0, -7.0, 16.0))
    prepared = prepare(PreprocessSettings(crop_margin_mm=1.0), name="x", source=path)
    result = restore(prepared.source, prepared, scale=prepared.source_scale)
    original = read_volume(path)
    assert prepared.source.shape[1:] != original.geometry.shape
    np.testing.assert_array_equal(result.voxels, original.voxels)
    np.testing.assert_array_equal(result.geometry.affine, original.geometry.affine)


def test_fractions_come_back_to_the_bit_where_intensity_is_left_alone(make_scan, write_scan):
    _, volume = make_scan(orientation="PIR")
    voxels = np.random.default_rng(0).normal(0, 1e3, volume.geometry.shape).astype(np.float32)
    path = write_scan("fractions", voxels, volume.geometry.affine)
    settings = PreprocessSettings(source_intensity=NoIntensity())
    prepared = prepare(settings, name="x", source=path)
    result = restore(prepared.source, prepared, scale=prepared.source_scale)
    np.testing.assert_array_equal(result.voxels, voxels)


@pytest.mark.parametrize("spacing", [2.0, (0.8, 1.1, 1.9)])
def test_undoing_a_resampling_keeps_every_voxel_in_its_place(
    make_scan, write_scan, world_points, ramp, spacing
):
    _, volume = make_scan(orientation="LPS")
    values = ramp(world_points(volume.geometry.shape, volume.geometry.affine))
    path = write_scan("ramp", values, volume.geometry.affine)
    settings = PreprocessSettings(
        spacing_mm=spacing, mask="none", crop_margin_mm=None, source_intensity=NoIntensity()
    )
    prepared = prepare(settings, name="x", source=path)
    result = restore(prepared.source, prepared, scale=UNIT)
    assert result.geometry.matches(volume.geometry)
    # A linear image survives linear interpolation except where the grid's edge holds it back.
    inner = (slice(3, -3), slice(3, -3), slice(2, -2))
    np.testing.assert_allclose(result.voxels[inner], values[inner], atol=0.01)


def test_each_predicted_voxel_lands_where_its_world_position_says(make_scan, world_points, ramp):
    path, volume = make_scan(orientation="ASL")
    prepared = prepare(PreprocessSettings(crop_margin_mm=1.0), name="x", source=path)
    grid = prepared.grid
    values = ramp(world_points(grid.shape, grid.affine)).astype(np.float32)
    result = restore(torch.from_numpy(values)[None], prepared, scale=UNIT)
    expected = ramp(world_points(volume.geometry.shape, volume.geometry.affine))
    predicted = result.voxels != 0
    assert np.count_nonzero(predicted) == values.size
    np.testing.assert_allclose(result.voxels[predicted], expected[predicted], atol=2e-3)


def test_outside_the_cropped_box_stands_the_targets_background(make_scan, write_scan):
    path, volume = make_scan(orientation="LPS")
    inside = np.zeros(volume.geometry.shape)
    inside[5:12, 6:13, 4:9] = 1
    mask = write_scan("mask", inside, volume.geometry.affine)
    settings = PreprocessSettings(mask="given", crop_margin_mm=0.0)
    prepared = prepare(settings, name="x", source=path, mask=mask)
    water = torch.full(prepared.source.shape, 1024 / 4095)
    result = restore(water, prepared, scale=CT_SCALE)
    np.testing.assert_allclose(result.voxels, np.where(inside > 0, 0.0, -1024.0), atol=1e-3)
    assert result.unit == "HU"


def test_background_can_be_written_outside_the_mask_as_well(make_scan):
    path, volume = make_scan(orientation="PIR")
    prepared = prepare(PreprocessSettings(crop_margin_mm=4.0), name="x", source=path)
    ones = torch.ones(prepared.source.shape)
    inside = ndimage.binary_fill_holes(volume.voxels != 0)
    scale = IntensityScale(-5.0, 10.0)
    everywhere = restore(ones, prepared, scale=scale)
    blanked = restore(ones, prepared, scale=scale, blank_outside_mask=True)
    assert np.count_nonzero(everywhere.voxels == 5.0) > inside.sum()
    np.testing.assert_array_equal(blanked.voxels, np.where(inside, 5.0, -5.0))


@pytest.mark.parametrize("spacing", [None, 1.5])
def test_the_mask_comes_back_onto_the_sources_grid(make_scan, orientation, spacing):
    path, volume = make_scan(orientation=orientation)
    prepared = prepare(PreprocessSettings(spacing_mm=spacing), name="x", source=path)
    truth = ndimage.binary_fill_holes(volume.voxels != 0)
    found = native_mask(prepared)
    if spacing is None:
        np.testing.assert_array_equal(found, truth)
    else:
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.9


def test_restoring_twice_gives_the_same(make_scan):
    path, _ = make_scan()
    prepared = prepare(PreprocessSettings(spacing_mm=1.5), name="x", source=path)
    first = restore(prepared.source, prepared, scale=UNIT)
    second = restore(prepared.source, prepared, scale=UNIT)
    np.testing.assert_array_equal(first.voxels, second.voxels)


def test_a_prediction_of_another_shape_is_refused(make_scan):
    path, _ = make_scan()
    prepared = prepare(PreprocessSettings(), name="x", source=path)
    with pytest.raises(ValueError, match="prediction has shape"):
        restore(torch.zeros(1, 3, 3, 3), prepared, scale=UNIT)


def test_the_reference_on_one_grid_is_the_file_itself(make_scan, write_scan):
    path, volume = make_scan(orientation="PIR")
    voxels = np.random.default_rng(0).normal(size=volume.geometry.shape).astype(np.float32)
    target = write_scan("target", voxels, volume.geometry.affine)
    reference = reference_on_source(PreprocessSettings(), name="x", source=path, target=target)
    np.testing.assert_array_equal(reference.volume.voxels, voxels)
    assert reference.seen.all()
    assert reference.volume.geometry.matches(volume.geometry)


def test_a_reference_stored_in_another_direction_is_turned_exactly(make_scan, write_scan):
    path, volume = make_scan(orientation="LPS")
    voxels = np.random.default_rng(0).normal(size=volume.geometry.shape).astype(np.float32)
    turned = volume.geometry.affine.copy()
    turned[:3, 3] += (volume.geometry.shape[1] - 1) * turned[:3, 1]
    turned[:3, 1] *= -1
    target = write_scan("target", voxels[:, ::-1], turned)
    reference = reference_on_source(PreprocessSettings(), name="x", source=path, target=target)
    np.testing.assert_array_equal(reference.volume.voxels, voxels)


def test_a_reference_on_another_grid_is_refused_without_alignment(make_scan):
    path, _ = make_scan()
    target, _ = make_scan("target", spacing=(1.0, 1.0, 3.0))
    with pytest.raises(GeometryError, match="different grids"):
        reference_on_source(PreprocessSettings(), name="x", source=path, target=target)
