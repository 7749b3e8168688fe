"""Real series of several vendors, against conversions that others made of them."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medtranslate.errors import DicomError, VolumeReadError
from medtranslate.io import read_volume
from medtranslate.io.dicom.reading import read_series

PAIRS = {
    "ge/anatomical/001": "ge/anatomical/001_ground_truth.nii.gz",
    "hitachi/anatomical/001": "hitachi/anatomical/001_ground_truth.nii.gz",
    "hitachi/anatomical/001_implicit": "hitachi/anatomical/001_ground_truth.nii.gz",
    "hyperfine/anatomical/001": "hyperfine/anatomical/001_ground_truth.nii.gz",
    "philips_enhanced/anatomical/001": "philips_enhanced/anatomical/001_ground_truth.nii.gz",
    "siemens/anatomical/001": "siemens/anatomical/001_ground_truth.nii.gz",
}
SERIES = (
    *(f"odd/dicom/dicom2nifti/{name}" for name in PAIRS),
    "odd/dicom/dicom2nifti/generic/compressed_j2k/001",
    "odd/dicom/dicom2nifti/generic/compressed_rle/001",
    "petct_dicom/CCTH-A01/CT",
    "petct_dicom/CCTH-A01/PET",
)
REFUSED = {
    "dicom2nifti/failing/gantrytilting/001": "gantry-tilt: gantry tilt of 14.0 degrees",
    "dicom2nifti/failing/sliceorientation/001": "mixed-orientation: slices have 2",
    "dicom2nifti/generic/rgb/001": "colour: .*\n.*kind: |colour: ",
    "dicom2nifti/ge/anatomical/001_single_slice": "absent-spacing: .* gives no thickness",
    "dcm_qa_enh_siemens_xa10": "several-volumes: holds 4 slices .* each of 6 places",
    "pydicom/dicomdir_98892003/MR700": "mixed-orientation: slices have 7",
}


@pytest.fixture
def odd_dicom(shared_data: Path) -> Path:
    if not (shared_data / "odd" / "dicom").is_dir():
        pytest.skip("the folder of odd DICOM files (../shared/data/odd/dicom) is absent")
    return shared_data / "odd" / "dicom"


def assert_same_voxels_and_places(volume, image, *, within_mm=1e-3):
    """Same values where the voxels lie, in whichever order each side stores them."""
    into = np.linalg.inv(image.affine) @ volume.geometry.affine
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in volume.geometry.shape])).reshape(3, -1)
    there = into @ np.vstack([corners, np.ones(8)])
    error_mm = np.abs(image.affine[:3, :3] @ (there[:3] - np.rint(there[:3]))).max()
    assert error_mm <= within_mm
    order = np.argmax(np.abs(into[:3, :3]), axis=0)  # axis of the image along each of ours
    other = np.transpose(np.asanyarray(image.dataobj).reshape(image.shape[:3]), order)
    for axis, source in enumerate(order):
        if into[source, axis] < 0:
            other = np.flip(other, axis)
    np.testing.assert_allclose(volume.voxels, other, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", PAIRS)
def test_a_real_series_equals_its_ground_truth(odd_dicom, name):
    truth = nibabel.load(odd_dicom / "dicom2nifti" / PAIRS[name])

    assert_same_voxels_and_places(read_volume(odd_dicom / "dicom2nifti" / name), truth)


@pytest.mark.parametrize("name", SERIES)
def test_a_real_series_equals_what_dcm2niix_makes_of_it(shared_data, tmp_path, name):
    program = shutil.which("dcm2niix")
    if program is None:
        pytest.skip("dcm2niix is not installed (make system-dicom)")
    if not (shared_data / name).is_dir():
        pytest.skip(f"{name} is absent")
    subprocess.run(
        [program, "-b", "n", "-z", "n", "-p", "n", "-o", tmp_path, shared_data / name],
        capture_output=True, check=False,
    )  # fmt: skip
    (path,) = tmp_path.glob("*.nii")

    # dcm2niix takes the first gap of the uneven PET for all; the next test measures ours.
    within_mm = 0.75 if name.endswith("PET") else 1e-3
    volume = read_volume(shared_data / name)
    assert_same_voxels_and_places(volume, nibabel.load(path), within_mm=within_mm)


def test_slices_of_an_uneven_series_stay_near_where_their_headers_put_them(shared_data):
    series = read_series(shared_data / "petct_dicom" / "CCTH-A01" / "PET")

    for k, source in enumerate(series.slices):
        x, y, z = map(float, series.datasets[source.dataset].ImagePositionPatient)
        place = series.volume.geometry.affine @ [0, 0, k, 1]
        np.testing.assert_allclose(place[:3], [-x, -y, z], atol=0.1)
    assert "up to 0.07 mm from an even grid" in series.header.warnings[0]


@pytest.mark.parametrize("name", REFUSED)
def test_a_faulty_real_series_is_refused_by_name(odd_dicom, name):
    with pytest.raises(DicomError, match=REFUSED[name]):
        read_volume(odd_dicom / name)


def test_every_odd_file_alone_is_read_or_refused_without_warning_or_traceback(odd_dicom, tmp_path):
    files = [p for p in odd_dicom.rglob("*") if p.is_file() and not p.name.endswith(".gz")]
    messages = []
    for number, path in enumerate(files):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copyfile(path, folder / "file")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for place in (folder, folder / "file"):
                try:
                    assert read_volume(place).array.ndim == 4
                except VolumeReadError as error:
                    messages.append(str(error).removeprefix(f"{place}: "))

    assert len(files) > 50
    assert len(files) < len(messages) < 2 * len(files)
    assert not [message for message in messages if str(tmp_path) in message]


def test_a_real_gantry_tilt_is_undone_on_request(odd_dicom):
    folder = odd_dicom / "dicom2nifti/failing/gantrytilting/001"

    volume = read_volume(f"{folder}#deskew")

    cosines = volume.geometry.affine[:3, :3] / volume.geometry.spacing
    np.testing.assert_allclose(cosines.T @ cosines, np.eye(3), atol=1e-9)
    assert volume.geometry.spacing[2] == pytest.approx(5 * np.cos(np.radians(14)), abs=0.01)
