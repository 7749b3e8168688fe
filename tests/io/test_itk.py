"""NRRD and MetaImage answer the same questions as NIfTI, and no byte is missing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medtranslate.errors import GeometryError, VolumeReadError
from medtranslate.io import read_header, read_volume

SHAPE = (7, 6, 5)
SUFFIXES = [".nrrd", ".nhdr", ".mha", ".mhd"]
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def voxels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3000, SHAPE).astype(np.int16)


def write_with_itk(
    path: Path, voxels: np.ndarray, affine: np.ndarray, *, packed: bool = False
) -> Path:
    """Write through SimpleITK alone; the affine is RAS."""
    image = sitk.GetImageFromArray(voxels.T)
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(path), packed)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_values_place_and_type_equal_simpleitk(tmp_path, make_affine, voxels, suffix, packed):
    affine = make_affine("PSL", degrees=(5, -8, 12))
    path = write_with_itk(tmp_path / f"a{suffix}", voxels, affine, packed=packed)

    volume = read_volume(path, modality="CT")

    np.testing.assert_array_equal(volume.voxels, voxels)
    np.testing.assert_allclose(volume.geometry.affine, affine, atol=1e-9)
    assert (volume.unit, volume.array.dtype, volume.array.flags.c_contiguous) == (
        "HU",
        np.float32,
        True,
    )
    assert read_header(path).dtype == "int16"


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "uint16", "int32", "uint32", "int64", "float32", "float64"]
)
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_every_stored_type_is_read(tmp_path, voxels, suffix, dtype):
    path = write_with_itk(tmp_path / f"a{suffix}", (voxels % 100).astype(dtype), np.eye(4))
    assert read_header(path).dtype == dtype
    np.testing.assert_array_equal(read_volume(path).voxels, voxels % 100)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6, 0.99])
def test_truncation_anywhere_is_refused(tmp_path, voxels, suffix, packed, kept):
    path = write_with_itk(tmp_path / f"a{suffix}", voxels, np.eye(4), packed=packed)
    (data,) = [p for p in tmp_path.iterdir() if p != path] or [path]
    data.write_bytes(data.read_bytes()[: int(data.stat().st_size * kept)])
    with pytest.raises((VolumeReadError, GeometryError), match=re.escape(str(tmp_path))):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_packed_voxels_without_their_checksum_are_refused(tmp_path, voxels, suffix):
    path = write_with_itk(tmp_path / f"a{suffix}", voxels, np.eye(4), packed=True)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(VolumeReadError, match=r"cut off|packed bytes, expected"):
        read_volume(path)


def test_a_length_of_packed_voxels_that_the_file_contradicts_is_refused(tmp_path, voxels):
    path = write_with_itk(tmp_path / "a.mha", voxels, np.eye(4), packed=True)
    replace_in(path, rb"CompressedDataSize = .*", b"CompressedDataSize = 20")
    with pytest.raises(VolumeReadError, match=r"packed bytes, expected the 20 "):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_flipped_bit_in_packed_voxels_is_refused(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 3000, (20, 20, 20)).astype(np.int16)
    path = write_with_itk(tmp_path / f"a{suffix}", noise, np.eye(4), packed=True)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(VolumeReadError, match=r"damaged|cut off|more than"):
        read_volume(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bytes_nobody_promised_are_refused(tmp_path, voxels, suffix, packed):
    path = write_with_itk(tmp_path / f"a{suffix}", voxels, np.eye(4), packed=packed)
    (data,) = [p for p in tmp_path.iterdir() if p != path] or [path]
    data.write_bytes(data.read_bytes() + b"12345678")
    with pytest.raises(VolumeReadError, match=r"holds more than|packed bytes, expected"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_voxels_that_are_not_finite_are_refused(tmp_path, suffix):
    array = np.ones(SHAPE, np.float32)
    array[1, 2, 3], array[2, 3, 4] = np.nan, np.inf
    path = write_with_itk(tmp_path / f"a{suffix}", array, np.eye(4))
    with pytest.raises(VolumeReadError, match="2 of 210 voxels"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_colours_and_series_are_refused(tmp_path, suffix):
    colours = sitk.GetImageFromArray(np.zeros((5, 6, 7, 3), np.uint8), isVector=True)
    sitk.WriteImage(colours, str(tmp_path / f"rgb{suffix}"))
    series = sitk.GetImageFromArray(np.zeros((2, 5, 6, 7), np.int16), isVector=False)
    sitk.WriteImage(series, str(tmp_path / f"series{suffix}"))
    for name in ("rgb", "series"):
        with pytest.raises((VolumeReadError, GeometryError), match=name):
            read_volume(tmp_path / f"{name}{suffix}")


def replace_in(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert re.search(old, data)
    path.write_bytes(re.sub(old, new, data, count=1))


@pytest.mark.parametrize(
    ("suffix", "old", "new", "error", "reason"),
    [
        (".mha", rb"TransformMatrix.*\n", b"", GeometryError, "no 'TransformMatrix'"),
        (".mha", rb"Offset.*\n", b"", GeometryError, "no 'Offset'"),
        (".mha", rb"ElementSpacing.*\n", b"", GeometryError, "no 'ElementSpacing'"),
        (".mha", b"7 6 5", b"2000 2000 2000", VolumeReadError, "8,000,000,000 voxels"),
        (".mha", b"7 6 5", b"700 700 700", VolumeReadError, "cut off"),
        (".mha", b"7 6 5", b"7 -6 5", VolumeReadError, "expected positive"),
        (".mha", b"7 6 5", b"7 0 5", VolumeReadError, "expected positive"),
        (".mha", b"7 6 5", b"7 x 5", VolumeReadError, "whole numbers"),
        (".mha", b"7 6 5", b"7 6", VolumeReadError, "as many DimSize as NDims"),
        (".mha", b"MET_SHORT", b"MET_STRANGE", VolumeReadError, "voxel type 'MET_STRANGE'"),
        (
            ".mha",
            rb"TransformMatrix = .*\n",
            b"TransformMatrix = 1 0 0 0.5 1 0 0 0 1\n",
            GeometryError,
            "sheared",
        ),
        (".mha", b"BinaryData = True", b"BinaryData = False", VolumeReadError, "as text"),
        (".mha", b"= LOCAL", b"= /etc/passwd", VolumeReadError, "another folder"),
        (".mha", b"= LOCAL", b"= LIST", VolumeReadError, "several files"),
        (
            ".mha",
            b"= LOCAL",
            b"= absent.raw",
            VolumeReadError,
            "other half 'absent.raw' is missing",
        ),
        (".nrrd", rb"space: .*\n", b"", GeometryError, "no 'space'"),
        (".nrrd", b"left-posterior-superior", b"scanner-xyz", GeometryError, "scanner-xyz"),
        (".nrrd", rb"space directions.*\n", b"", GeometryError, "no 'space directions'"),
        (".nrrd", rb"space origin.*\n", b"", GeometryError, "no 'space origin'"),
        (".nrrd", rb"\(-1,0,0\)", b"(-1,0.5,0)", GeometryError, "sheared"),
        (".nrrd", b"7 6 5", b"2000 2000 2000", VolumeReadError, "8,000,000,000 voxels"),
        (".nrrd", b"7 6 5", b"700 700 700", VolumeReadError, "cut off"),
        (".nrrd", b"type: short", b"type: block", VolumeReadError, "voxel type 'block'"),
        (".nrrd", b"encoding: raw", b"encoding: hex", VolumeReadError, "encoding 'hex'"),
        (".nrrd", b"encoding", b"byte skip: 4\nencoding", VolumeReadError, "skips bytes"),
        (".nrrd", b"encoding", b"data file: ../a.raw\nencoding", VolumeReadError, "another folder"),
        (".nrrd", b"encoding", b'space units: "m" "m" "m"\nencoding', GeometryError, "in m,"),
    ],
)
def test_a_doubtful_header_is_refused(tmp_path, voxels, suffix, old, new, error, reason):
    path = write_with_itk(tmp_path / f"a{suffix}", voxels, np.eye(4))
    replace_in(path, old, new)
    with pytest.raises(error, match=reason):
        read_volume(path)


@pytest.mark.parametrize(
    ("space", "flips"), [("right-anterior-superior", (1, 1)), ("LAS", (-1, 1)), ("LPS", (-1, -1))]
)
def test_nrrd_spaces_are_turned_to_ras(tmp_path, voxels, space, flips):
    path = write_with_itk(tmp_path / "a.nrrd", voxels, np.eye(4))
    replace_in(path, b"left-posterior-superior", space.encode())
    replace_in(path, rb"\(-1,0,0\) \(0,-1,0\) \(0,0,1\)", b"(2,0,0) (0,3,0) (0,0,4)")
    replace_in(path, rb"space origin: .*\n", b"space origin: (10,20,30)\n")
    sign = np.array([*flips, 1, 1])
    expected = sign[:, None] * np.array([[2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])
    np.testing.assert_allclose(read_volume(path).geometry.affine, expected)
