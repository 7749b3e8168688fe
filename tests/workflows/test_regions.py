"""Masks that a person gives, whatever way their axes run."""

import numpy as np
import pytest

from medtranslate.errors import ConfigError, GeometryError
from medtranslate.geometry import Geometry
from medtranslate.io import write_volume
from medtranslate.volume import Volume
from medtranslate.workflows.regions import parse_regions, read_regions


def test_a_mask_with_turned_axes_comes_back_in_the_order_of_the_grid(oblique_volume, tmp_path):
    mask, grid = oblique_volume.array > 500, oblique_volume.geometry
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (grid.shape[0] - 1)
    affine[:3, :3] = affine[:3, [1, 0, 2]] * [1, -1, 1]
    turned = mask[0, ::-1].transpose(1, 0, 2).astype(np.uint8)
    write_volume(tmp_path / "m.nii.gz", Volume(turned[None], Geometry(turned.shape, affine)))

    found = read_regions({"GTV": tmp_path / "m.nii.gz"}, grid)

    np.testing.assert_array_equal(found["GTV"], mask[0])


def test_a_mask_half_a_voxel_away_is_refused(oblique_volume, tmp_path):
    affine = oblique_volume.geometry.affine.copy()
    affine[:3, 3] += affine[:3, 0] / 2
    mask = (oblique_volume.array > 500).astype(np.uint8)
    write_volume(
        tmp_path / "m.nii.gz", Volume(mask, Geometry(oblique_volume.geometry.shape, affine))
    )

    with pytest.raises(GeometryError, match="--region GTV: lies on another grid"):
        read_regions({"GTV": tmp_path / "m.nii.gz"}, oblique_volume.geometry)


@pytest.mark.parametrize("texts", [["gtv.nii"], ["=a"], ["GTV="], ["a=1", "a=2"], ["a\\b=1"]])
def test_a_region_without_a_name_of_its_own_is_refused(texts):
    with pytest.raises(ConfigError, match="--region"):
        parse_regions(texts)
