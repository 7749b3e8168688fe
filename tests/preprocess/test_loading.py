import nibabel
import numpy as np
import pytest

from medtranslate.errors import VolumeReadError
from medtranslate.io import write_volume
from medtranslate.preprocess.loading import affine_of, geometry_of, load_images, voxels_of

from ..io.dicom.conftest import truth, write_series  # noqa: F401


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR"])
def test_monai_sees_the_file_as_nibabel_does(make_scan, orientation):
    path, _ = make_scan(orientation=orientation)
    image = load_images(["image"])({"image": path})["image"]
    truth = nibabel.load(path)
    np.testing.assert_array_equal(voxels_of(image), np.asarray(truth.dataobj))
    np.testing.assert_allclose(affine_of(image), truth.affine, atol=1e-5)
    assert geometry_of(image).shape == truth.shape


def test_a_damaged_file_is_refused_and_no_other_reader_is_tried(make_scan, tmp_path):
    path, _ = make_scan()
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(VolumeReadError, match=r"cut\.nii\.gz"):
        load_images(["image"])({"image": cut})


def test_absent_keys_are_passed_over(make_scan):
    path, _ = make_scan()
    assert set(load_images(["source", "target"])({"source": path})) == {"source"}


def test_a_dicom_series_and_a_nifti_file_make_a_pair(write_series, truth, tmp_path):
    series = write_series()
    write_volume(tmp_path / "mr.nii.gz", truth)

    loaded = load_images(["source", "target"])({"source": tmp_path / "mr.nii.gz", "target": series})

    np.testing.assert_array_equal(loaded["source"].numpy(), loaded["target"].numpy())
    np.testing.assert_allclose(affine_of(loaded["source"]), affine_of(loaded["target"]), atol=1e-4)
