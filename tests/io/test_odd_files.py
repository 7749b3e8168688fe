"""Every unusual or broken file of the shared folder is read right or refused with a reason."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medtranslate.errors import GeometryError, MedTranslateError, VolumeReadError
from medtranslate.io import read_header, read_volume

AXIS_ORDERS = (
    "AIL", "ARI", "IAL", "IPL", "LAI", "LPI", "PIL", "PRI", "RAI", "RPI", "SAL", "SPL"
)  # fmt: skip
READABLE = {
    *(f"nifti/orientations/{axes}.nii.gz" for axes in AXIS_ORDERS),
    "nifti/anatomical.nii",
    "nifti/big.nii.gz",
    "nifti/low_res.nii.gz",
    "nifti/standard.nii.gz",
    "other/pair/ras.hdr",
    "other/pair/ras.img",
    "other/3DCT_lung_baseline_small.mha",
    "other/mha.mha",
    "dicom/dicom2nifti/ge/anatomical/001_ground_truth.nii.gz",
    "dicom/dicom2nifti/ge/anatomical/001_single_slice_ground_truth.nii.gz",
    "dicom/dicom2nifti/hitachi/anatomical/001_ground_truth.nii.gz",
    "dicom/dicom2nifti/hitachi/anatomical/001_ground_truth_reoriented.nii.gz",
    "dicom/dicom2nifti/hyperfine/anatomical/001_ground_truth.nii.gz",
    "dicom/dicom2nifti/hyperfine/anatomical/001_ground_truth_reoriented.nii.gz",
    "dicom/dicom2nifti/philips_enhanced/anatomical/001_ground_truth.nii.gz",
    "dicom/dicom2nifti/siemens/anatomical/001_ground_truth.nii.gz",
}
REFUSED = {
    "nifti/5D_small.nii": (VolumeReadError, "holds 3 volumes"),
    "nifti/annex_pointer/tpl-MNI152NLin2009cAsym_res-01_T1w.nii.gz": (
        VolumeReadError,
        "pointer to a file that was not fetched.*datalad get",
    ),
    "nifti/complex_image.nii.gz": (VolumeReadError, "complex numbers"),
    "nifti/example4d.nii.gz": (VolumeReadError, "holds 2 volumes"),
    "nifti/fuzz/crash-08123ef33416bd6f0c5fa63d44b681b8581d62a0": (
        VolumeReadError,
        "name does not end like a scan",
    ),
    "nifti/fuzz/crash-98aa054390f8d3f932f190dc22ef62c6ff2d6619": (
        VolumeReadError,
        "name does not end like a scan",
    ),
    "nifti/fuzz/crash-ed7d46344d7efb3b9f0c374d66d2e02f66cc447d.nii": (
        VolumeReadError,
        "expected NIfTI",
    ),
    "nifti/header_only/nifti1.hdr": (VolumeReadError, "other half nifti1.img is missing"),
    "nifti/inf_values/mtr.nii.gz": (VolumeReadError, "633 of 8,000 voxels are NaN or infinite"),
    "nifti/not-nifti.nii": (VolumeReadError, "expected NIfTI"),
    "nifti/resampled_anat_moved.nii": (VolumeReadError, "NaN or infinite"),
    "nifti/rgb/3D.nii": (VolumeReadError, "colours"),
    "nifti/rgb/4D.nii": (VolumeReadError, "colours"),
    "nifti/shear.nii.gz": (GeometryError, "sheared"),
    "nifti/zero_bytes/sub-01_T1w.nii.gz": (VolumeReadError, r"empty \(0 bytes\)"),
}
NOT_SCANS = ("README.md", "SHA256SUMS")


@pytest.fixture
def odd(shared_data: Path) -> Path:
    if not (shared_data / "odd").is_dir():
        pytest.skip("the folder of odd files (../shared/data/odd) is absent")
    return shared_data / "odd"


def expectation(name: str) -> tuple[type[MedTranslateError], str] | None:
    """The refusal of a file, or None if it is to be read."""
    if name in READABLE:
        return None
    return REFUSED[name]


def test_every_odd_file_is_read_as_its_own_library_reads_it_or_refused_with_its_reason(odd):
    seen = set()
    for path in sorted(path for path in odd.rglob("*") if path.is_file()):
        name = path.relative_to(odd).as_posix()
        # dicom/test_real_series.py reads every DICOM file.
        if name in NOT_SCANS or (name.startswith("dicom/") and path.suffix != ".gz"):
            continue
        seen.add(name)
        refusal = expectation(name)
        if refusal is None:
            check_against_own_library(path)
            continue
        with pytest.raises(refusal[0], match=refusal[1]) as caught:
            read_volume(path)
        assert str(caught.value).startswith(f"{path}: "), name
    assert READABLE | set(REFUSED) <= seen
    assert len(seen) > 30


def check_against_own_library(path: Path) -> None:
    volume = read_volume(path, modality="T1w")
    assert volume.array.shape == (1, *volume.geometry.shape)
    if path.suffix == ".mha":
        expected, affine = read_mha_by_hand(path)
    else:
        image = nibabel.load(path)
        expected, affine = np.asanyarray(image.dataobj), image.affine
    np.testing.assert_array_equal(
        volume.voxels, expected.reshape(volume.geometry.shape).astype(np.float32)
    )
    np.testing.assert_allclose(volume.geometry.affine, affine, atol=1e-6)
    assert read_header(path).geometry.matches(volume.geometry, tolerance_mm=0)


def read_mha_by_hand(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """MetaImage with packed int16 or uint16 voxels, decoded from its format's description."""
    import zlib

    head, data = re.split(rb"ElementDataFile = LOCAL\n", path.read_bytes(), maxsplit=1)
    fields = dict(line.split(" = ", 1) for line in head.decode().splitlines())
    shape = tuple(int(n) for n in fields["DimSize"].split())
    dtype = {"MET_SHORT": "<i2", "MET_USHORT": "<u2", "MET_UCHAR": "u1"}[fields["ElementType"]]
    voxels = np.frombuffer(zlib.decompress(data), dtype).reshape(shape, order="F")
    affine = np.eye(4)
    directions = np.array(fields["TransformMatrix"].split(), float).reshape(3, 3)  # one a row
    affine[:3, :3] = directions.T * np.array(fields["ElementSpacing"].split(), float)
    affine[:3, 3] = np.array(fields["Offset"].split(), float)
    return voxels, np.diag([-1, -1, 1, 1]) @ affine


def test_one_image_stored_in_twelve_axis_orders_gives_the_orientation_of_its_name(odd):
    for path in sorted((odd / "nifti" / "orientations").glob("*.nii.gz")):
        assert read_header(path).geometry.orientation == path.name.split(".")[0]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".hdr", ".mha", ".nrrd", ".mgz", ".mgh"])
def test_fuzzed_headers_are_refused_under_every_name(odd, tmp_path, suffix):
    for source in (odd / "nifti" / "fuzz").iterdir():
        path = tmp_path / f"{source.stem}{suffix}"
        shutil.copyfile(source, path)
        if suffix == ".hdr":
            path.with_suffix(".img").write_bytes(bytes(1000))
        with pytest.raises(MedTranslateError, match=re.escape(str(path))):
            read_volume(path)


def test_every_real_scan_is_readable_and_agrees_with_nibabel(shared_data):
    paths = [p for p in sorted(shared_data.rglob("*.nii.gz")) if "odd" not in p.parts]
    assert paths
    for path in paths:
        image = nibabel.load(path)
        header = read_header(path)
        np.testing.assert_allclose(header.geometry.affine, image.affine, atol=1e-6)
        assert header.shape == image.shape
    smallest = min(paths, key=lambda path: path.stat().st_size)
    np.testing.assert_array_equal(
        read_volume(smallest).voxels,
        np.asanyarray(nibabel.load(smallest).dataobj).astype(np.float32),
    )
