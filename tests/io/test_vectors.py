import json

import nibabel
import numpy as np
import pytest

from medtranslate.errors import VolumeWriteError
from medtranslate.io.marks import read_header_texts
from medtranslate.io.vectors import write_vector_field


def test_a_field_is_a_nifti_vector_on_its_grid(tmp_path, oblique_volume):
    geometry = oblique_volume.geometry
    field = np.random.default_rng(0).normal(size=(3, *geometry.shape)).astype(np.float32)

    write_vector_field(
        tmp_path / "f.nii.gz", field, geometry, sidecar={"a": 1}, mark={"Synthetic": True}
    )

    image = nibabel.load(tmp_path / "f.nii.gz")
    assert image.header.get_intent()[0] == "vector"
    assert image.shape == (*geometry.shape, 1, 3)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj)[:, :, :, 0, 1], field[1])
    np.testing.assert_allclose(image.affine, geometry.affine, atol=1e-4)
    assert json.loads((tmp_path / "f.json").read_text()) == {"a": 1}
    assert read_header_texts(tmp_path / "f.nii.gz").find_mark() == {"Synthetic": True}


def test_a_field_that_is_not_finite_is_not_written(tmp_path, oblique_volume):
    field = np.full((3, *oblique_volume.geometry.shape), np.nan)

    with pytest.raises(VolumeWriteError, match="NaN"):
        write_vector_field(
            tmp_path / "f.nii.gz", field, oblique_volume.geometry, sidecar={}, mark={}
        )

    assert list(tmp_path.iterdir()) == []
