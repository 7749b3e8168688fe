"""Labels brought onto the model grid by the way that the target goes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from medtranslate.geometry import Geometry
from medtranslate.preprocess.loading import affine_of, voxels_of
from medtranslate.preprocess.preparation import prepare
from medtranslate.preprocess.segmentation import labels_on_grid
from medtranslate.preprocess.settings import PreprocessSettings
from medtranslate.volume import Volume

PLAIN = {
    "mask": "nonzero",
    "source_intensity": {"name": "none"},
    "target_intensity": {"name": "none"},
}


def cut(voxels):
    """Labels that follow from the intensity, so that the target itself says what is right."""
    return np.digitize(voxels, [1, 350, 450]).astype(np.int16)


@pytest.mark.parametrize("margin", [None, 1.0])
def test_on_one_grid_labels_move_exactly_as_the_target(make_scan, orientation, margin):
    path, volume = make_scan(orientation=orientation)
    settings = PreprocessSettings(**PLAIN, crop_margin_mm=margin)
    prepared = prepare(settings, name="x", source=path, target=path)

    found = labels_on_grid(
        settings,
        Volume(cut(volume.array), volume.geometry, unit="label"),
        name="x",
        source=path,
        target=path,
        transform=None,
        grid=prepared.source,
    )

    np.testing.assert_array_equal(found, cut(voxels_of(prepared.target)))
    assert set(np.unique(found)) == {0, 1, 2, 3}


def test_a_transform_file_moves_labels_to_the_nearest_voxel(
    make_scan, make_affine, write_scan, world_points, tmp_path
):
    """By hand: place of each model voxel, through the transform, to an index of the target."""
    path, source = make_scan(orientation="LPS")
    matrix = Rotation.from_euler("xyz", (4, -6, 9), degrees=True).as_matrix()
    translation = np.array([2.0, -3.0, 1.5])
    flip = np.diag([-1.0, -1.0, 1.0])
    shape = (20, 12, 40)
    place = make_affine("ASL", spacing=(1.3, 2.1, 0.9), degrees=(3, 1, -2), origin=(0, 0, 0))
    middle = source.geometry.affine @ [*(np.array(source.geometry.shape) / 2), 1]
    aim = flip @ (matrix @ flip @ middle[:3] + translation)
    place[:3, 3] = aim - place[:3, :3] @ (np.array(shape) / 2)
    labels = np.random.default_rng(3).integers(1, 5, size=shape).astype(np.int16)
    target = write_scan("target", labels, place)
    parameters = " ".join(f"{value:.17g}" for value in [*matrix.ravel(), *translation])
    transform = tmp_path / "xfm.txt"
    transform.write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {parameters}\nFixedParameters: 0 0 0\n"
    )
    settings = PreprocessSettings(**PLAIN, align="transforms", crop_margin_mm=1.0)
    prepared = prepare(settings, name="x", source=path, target=target, transform=transform)

    found = labels_on_grid(
        settings,
        Volume(labels[None], Geometry(shape, place), unit="label"),
        name="x",
        source=path,
        target=target,
        transform=transform,
        grid=prepared.source,
    )

    lps = flip @ world_points(found.shape, affine_of(prepared.source)).reshape(3, -1)
    moved = flip @ (matrix @ lps + translation[:, None])
    index = np.linalg.inv(place)[:3] @ np.vstack([moved, np.ones(moved.shape[1])])
    last = np.array(shape)[:, None] - 1
    clear = (np.abs(np.abs(index - np.floor(index)) - 0.5) > 1e-2).all(axis=0)
    inside = clear & ((index >= 0) & (index <= last)).all(axis=0)
    outside = ((index < -0.51) | (index > last + 0.51)).any(axis=0)
    nearest = labels[tuple(np.rint(index[:, inside]).astype(int))]
    assert 0.2 < inside.mean() < 0.99
    np.testing.assert_array_equal(found.ravel()[inside], nearest)
    np.testing.assert_array_equal(found.ravel()[outside], 0)
