"""NIfTI and MGH: what is read is what nibabel reads; anything doubtful is refused."""

from __future__ import annotations

import gzip
import os
import re
import struct
import sys
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medtranslate.errors import GeometryError, MissingExtraError, VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.io import read_header, read_mask, read_volume

SHAPE = (7, 6, 5)


@pytest.fixture
def voxels() -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 3000, SHAPE, dtype=np.int16)


def edit_header(path: Path, offset: int, layout: str, *values: float) -> None:
    """Overwrite header fields of an uncompressed or gzip NIfTI."""
    packed = path.name.endswith(".gz")
    data = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    struct.pack_into(layout, data, offset, *values)
    path.write_bytes(gzip.compress(data) if packed else data)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ", "a.hdr", "a.img"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_values_place_and_type_equal_nibabel(write_nifti, voxels, name, dtype):
    path = write_nifti(np.abs(voxels).astype(dtype), name=name.replace(".img", ".hdr"))
    path = path.with_name(name)

    volume = read_volume(path, modality="T2w")

    np.testing.assert_array_equal(volume.voxels, np.abs(voxels).astype(dtype))
    np.testing.assert_array_equal(volume.geometry.affine, nibabel.load(path).affine)
    assert volume.array.dtype == np.float32
    assert volume.array.flags.c_contiguous
    assert (volume.modality, volume.unit) == ("T2w", "arbitrary")
    assert read_header(path).dtype == dtype
    assert read_header(path).warnings == ()


@pytest.mark.parametrize("image_class", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_and_both_versions_are_read(tmp_path, voxels, image_class, order):
    header = image_class.header_class(endianness=order)
    header.set_data_dtype(np.int16)
    header.set_xyzt_units("mm")
    nibabel.save(image_class(voxels, np.diag([2.0, 3, 4, 1]), header), tmp_path / "a.nii.gz")

    volume = read_volume(tmp_path / "a.nii.gz")

    np.testing.assert_array_equal(volume.voxels, voxels)
    assert volume.geometry.spacing == (2, 3, 4)


def test_slope_and_intercept_are_applied_and_no_slope_means_none(write_nifti, voxels):
    path = write_nifti(voxels, name="a.nii")
    edit_header(path, 112, "<2f", 0.5, -1024.0)
    np.testing.assert_allclose(read_volume(path).voxels, voxels * 0.5 - 1024, rtol=1e-6)
    edit_header(path, 112, "<2f", np.nan, np.nan)
    np.testing.assert_array_equal(read_volume(path).voxels, voxels)


def test_scaling_that_overflows_is_refused_like_any_infinity(write_nifti):
    path = write_nifti(np.full(SHAPE, 1e38, np.float32), name="a.nii")
    edit_header(path, 112, "<2f", 3e38, 0)
    volume = read_volume(path)
    assert volume.array.dtype == np.float64
    path = write_nifti(np.full(SHAPE, 1e300, np.float64), name="b.nii")
    edit_header(path, 112, "<2f", 3e38, 0)
    with pytest.raises(VolumeReadError, match="210 of 210 voxels are NaN or infinite"):
        read_volume(path)


@pytest.mark.parametrize(("modality", "unit"), [("CT", "HU"), ("CBCT", "HU"), (None, "arbitrary")])
def test_only_ct_is_in_hounsfield_units(write_nifti, voxels, modality, unit):
    assert read_volume(write_nifti(voxels), modality=modality).unit == unit


def test_whole_numbers_that_float32_would_round_are_kept_in_float64(write_nifti):
    array = np.zeros(SHAPE, np.int32)
    array[1, 2, 3] = 2**24 + 1
    volume = read_volume(write_nifti(array))
    assert volume.array.dtype == np.float64
    assert volume.voxels[1, 2, 3] == 2**24 + 1


def test_trailing_dimensions_of_one_are_dropped_and_told(write_nifti, voxels):
    path = write_nifti(voxels[..., None, None])
    assert read_header(path).shape == (*SHAPE, 1, 1)
    np.testing.assert_array_equal(read_volume(path).voxels, voxels)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img"])
@pytest.mark.parametrize("keep", [0, 1, 3, 100, 340, 353, -1])
def test_truncation_anywhere_is_refused(write_nifti, voxels, name, keep):
    path = write_nifti(voxels, name=name.replace(".img", ".hdr")).with_name(name)
    data = path.read_bytes()
    path.write_bytes(data[:keep])
    with pytest.raises(VolumeReadError, match=re.escape(str(path))):
        read_volume(path)


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9, 1.0])
def test_a_flipped_bit_in_a_gzip_file_is_refused(write_nifti, part):
    noise = np.random.default_rng(1).integers(0, 4000, (20, 20, 20), dtype=np.int16)
    path = write_nifti(noise)
    data = bytearray(path.read_bytes())
    data[min(int(len(data) * part), len(data) - 6)] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(VolumeReadError, match=r"damaged|too early|cut off|more than"):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_more_bytes_than_the_header_promises_are_refused(write_nifti, voxels, name):
    path = write_nifti(voxels, name=name)
    edit_header(path, 42, "<h", SHAPE[0] - 1)
    with pytest.raises(VolumeReadError, match=r"holds more than the .* its header promises"):
        read_volume(path)


def test_a_header_claiming_eight_thousand_million_voxels_is_refused_unread(write_nifti):
    path = write_nifti(np.zeros((1, 1, 1), np.uint8), name="a.nii")
    path.write_bytes(path.read_bytes().ljust(452, b"\0"))
    edit_header(path, 40, "<4h", 3, 2000, 2000, 2000)
    for read in (read_volume, read_header):
        with pytest.raises(VolumeReadError, match="claims 8,000,000,000 voxels"):
            read(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_claim_the_file_cannot_hold_is_refused_before_allocation(write_nifti, name):
    path = write_nifti(np.zeros((1, 1, 1), np.uint8), name=name)
    edit_header(path, 40, "<4h", 3, 700, 700, 700)
    tracemalloc.start()
    try:
        with pytest.raises(VolumeReadError, match="343,000,352"):
            read_volume(path)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_stopped_in_small_memory(write_nifti, voxels):
    path = write_nifti(voxels)
    honest = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(honest + bytes(100_000_000), compresslevel=1))
    tracemalloc.start()
    try:
        with pytest.raises(VolumeReadError, match=r"holds more than"):
            read_volume(path)
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()


def test_the_bound_on_voxels_can_be_set(write_nifti, voxels):
    path = write_nifti(voxels)
    assert read_volume(path, max_voxels=voxels.size).geometry.shape == SHAPE
    with pytest.raises(VolumeReadError, match="at most 209 are read"):
        read_volume(path, max_voxels=voxels.size - 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_counted_and_refused(write_nifti, bad):
    array = np.ones(SHAPE, np.float32)
    array[1:3, 2, 3] = bad
    with pytest.raises(VolumeReadError, match="2 of 210 voxels are NaN or infinite"):
        read_volume(write_nifti(array))


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        ((*SHAPE, 2), "int16", "holds 2 volumes"),
        ((*SHAPE, 1, 3), "int16", "holds 3 volumes"),
        (SHAPE[:2], "int16", "has 2 dimensions"),
        (SHAPE, "complex64", "complex numbers"),
        (SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")], "colours"),
        (SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")], "colours"),
    ],
)
def test_anything_but_one_real_number_a_voxel_is_refused(write_nifti, shape, dtype, reason):
    path = write_nifti(np.zeros(shape, dtype))
    for read in (read_volume, read_header):
        with pytest.raises(VolumeReadError, match=reason):
            read(path)


@pytest.mark.parametrize(
    ("offset", "layout", "values", "reason"),
    [
        (42, "<h", (0,), "shape 0x6x5, expected positive"),
        (44, "<h", (-6,), "shape 7x-6x5, expected positive"),
        (40, "<h", (0,), "dimensions|expected NIfTI"),
        (40, "<h", (300,), "dimensions"),
        (70, "<h", (2826,), "NIfTI type 2826, which does not exist"),
        (72, "<h", (8,), "claims 8 bits a voxel"),
        (108, "<f", (4.0,), "voxels begin at byte 4"),
        (108, "<f", (np.nan,), "voxels begin at byte nan"),
        (108, "<f", (1e30,), "voxels begin at byte 1e"),
        (112, "<2f", (np.inf, 0), "scaling in the header"),
        (112, "<2f", (1.0, np.nan), "scaling in the header"),
        (344, "<4s", (b"abcd",), "no NIfTI signature.*Analyze"),
        (344, "<4s", (b"ni1\0",), "voxels in another file"),
    ],
)
def test_a_damaged_header_field_is_refused(write_nifti, voxels, offset, layout, values, reason):
    path = write_nifti(voxels, name="a.nii")
    edit_header(path, offset, layout, *values)
    with pytest.raises(VolumeReadError, match=reason):
        read_volume(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"hello, this is no scan\n", "holds text"),
        (b"<!DOCTYPE html><html>" + b" " * 400, "web page"),
        (b"/annex/objects/MD5E-s13--ab.nii\n", "datalad get"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (bytes(128) + b"DICM" + bytes(300), "DICOM"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mgh", ".mgz"])
def test_something_else_posing_as_a_scan_is_named_for_what_it_is(tmp_path, content, reason, suffix):
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(content)
    with pytest.raises(VolumeReadError, match=reason):
        read_volume(path)


def test_names_that_lie_about_gzip_say_how_to_rename(write_nifti, voxels, tmp_path):
    packed, plain = write_nifti(voxels), write_nifti(voxels, name="b.nii")
    with pytest.raises(VolumeReadError, match=r"Add \.gz to the name"):
        read_volume(packed.rename(tmp_path / "c.nii"))
    with pytest.raises(VolumeReadError, match=r"Take \.gz off the name"):
        read_volume(plain.rename(tmp_path / "d.nii.gz"))


def test_folders_pipes_and_missing_files_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(VolumeReadError, match="not a regular file"):
        read_volume(tmp_path / "pipe.nii")
    with pytest.raises(VolumeReadError, match=r"is a folder without DICOM.*folder of a"):
        read_volume(tmp_path)
    with pytest.raises(VolumeReadError, match="no such file"):
        read_volume(tmp_path / "absent.nii")


def test_the_sform_wins_and_a_small_difference_is_a_warning(write_nifti, voxels, make_affine):
    sform = make_affine("LPS", degrees=(4, 5, 6))
    qform = sform.copy()
    qform[0, 3] += 0.5
    path = write_nifti(voxels, sform=(sform, 2), qform=(qform, 1))
    np.testing.assert_allclose(read_volume(path).geometry.affine, sform, atol=1e-5)
    (warning,) = read_header(path).warnings
    assert "up to 0.50 mm apart" in warning


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"orientation": "RPS"}, "orientation LPS and RPS"),
        ({"spacing": (0.9, 1.4, 3.2)}, "spacing 0.9x1.4x3.1 and 0.9x1.4x3.2 mm"),
        ({"origin": (-31.5, 17.25, 45.5)}, "up to 1.50 mm apart"),
    ],
)
def test_forms_that_contradict_each_other_are_refused(
    write_nifti, voxels, make_affine, other, reason
):
    sform = make_affine("LPS")
    qform = make_affine(**({"orientation": "LPS"} | other))
    path = write_nifti(voxels, sform=(sform, 1), qform=(qform, 1))
    with pytest.raises(GeometryError, match=reason):
        read_volume(path)
    assert reason in read_header(path).warnings[0]


def test_the_qform_is_taken_where_the_sform_has_no_code(write_nifti, voxels, make_affine):
    qform = make_affine("PSR", degrees=(7, 8, 9))
    path = write_nifti(voxels, sform=(np.eye(4), 0), qform=(qform, 1))
    np.testing.assert_allclose(read_volume(path).geometry.affine, qform, atol=1e-4)
    assert read_header(path).warnings == ()


def test_no_form_at_all_is_an_error(write_nifti, voxels):
    path = write_nifti(voxels, sform=(np.eye(4), 0), qform=(np.eye(4), 0))
    for read in (read_volume, read_header):
        with pytest.raises(GeometryError, match="neither sform nor qform"):
            read(path)


def test_an_impossible_quaternion_is_refused_unless_the_sform_is_there(write_nifti, voxels):
    path = write_nifti(voxels, name="a.nii")
    edit_header(path, 256, "<3f", 1.0, 1.0, 1.0)
    assert "qform cannot be used" in read_header(path).warnings[0]
    edit_header(path, 254, "<h", 0)
    with pytest.raises(GeometryError, match="qform cannot be read"):
        read_volume(path)


@pytest.mark.parametrize(
    ("column", "reason"),
    [((0, 0, 0), "singular"), ((1, 0, 0), "singular"), ((0.4, 1, 0), "sheared")],
)
def test_affines_that_are_no_grid_are_refused(write_nifti, voxels, column, reason):
    sform = np.eye(4)
    sform[:3, 1] = column
    path = write_nifti(voxels, sform=(sform, 1), qform=(np.eye(4), 0))
    for read in (read_volume, read_header):
        with pytest.raises(GeometryError, match=reason):
            read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_affine_that_is_not_finite_is_refused(write_nifti, voxels, value):
    path = write_nifti(voxels, name="a.nii")
    edit_header(path, 280, "<f", value)
    with pytest.raises(GeometryError, match="NaN or infinite"):
        read_volume(path)


@pytest.mark.parametrize(("units", "known"), [("meter", False), ("micron", False)])
def test_lengths_in_another_unit_are_refused(write_nifti, voxels, units, known):
    with pytest.raises(GeometryError, match="expected mm"):
        read_volume(write_nifti(voxels, units=units))


def test_an_unknown_unit_of_length_is_a_warning(write_nifti, voxels):
    path = write_nifti(voxels, units="unknown")
    assert "no unit of length" in read_header(path).warnings[0]
    np.testing.assert_array_equal(read_volume(path).voxels, voxels)


def test_reading_a_header_reads_no_voxels(write_nifti):
    noise = np.random.default_rng(0).integers(0, 99, (50, 50, 50), dtype=np.int16)
    path = write_nifti(noise)
    path.write_bytes(path.read_bytes()[:5000])
    assert read_header(path).shape == (50, 50, 50)


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
def test_mgh_values_and_place_equal_nibabel(tmp_path, make_affine, voxels, name, dtype):
    affine = make_affine("LIA", degrees=(3, 4, 5)).astype(np.float32)
    array = np.abs(voxels).astype(dtype)
    nibabel.save(nibabel.MGHImage(array, affine), tmp_path / name)

    volume = read_volume(tmp_path / name)

    np.testing.assert_array_equal(volume.voxels, array)
    np.testing.assert_allclose(volume.geometry.affine, affine, atol=1e-4)


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
@pytest.mark.parametrize("keep", [1, 20, 100, 283, 300, 0.6])
def test_mgh_truncation_is_refused(tmp_path, voxels, name, keep):
    path = tmp_path / name
    nibabel.save(nibabel.MGHImage(voxels.astype(np.float32), np.eye(4)), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if keep < 1 else keep])
    with pytest.raises(VolumeReadError, match=re.escape(str(path))):
        read_volume(path)


@pytest.mark.parametrize(
    ("offset", "layout", "value", "error", "reason"),
    [
        (4, ">i", 5000, VolumeReadError, "cut off"),
        (4, ">i", -1, VolumeReadError, "expected positive"),
        (16, ">i", 2, VolumeReadError, "holds 2 volumes"),
        (20, ">i", 9, VolumeReadError, "MGH type 9"),
        (28, ">h", 0, GeometryError, "orientation is not set"),
        (30, ">f", 0.0, GeometryError, "singular"),
        (30, ">f", 3.4e38, GeometryError, "NaN or infinite"),
    ],
)
def test_damaged_mgh_headers_are_refused(tmp_path, voxels, offset, layout, value, error, reason):
    path = tmp_path / "a.mgh"
    nibabel.save(nibabel.MGHImage(voxels.astype(np.float32), np.eye(4)), path)
    edit_header(path, offset, layout, value)
    with pytest.raises(error, match=reason):
        read_volume(path)


def test_a_mask_is_where_labels_are_not_zero(write_nifti):
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 2, 3], labels[4, 4, 4] = 1, 7
    mask = read_mask(write_nifti(labels))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, labels > 0)


@pytest.mark.parametrize(
    ("value", "reason"), [(0.0, "mask is empty"), (0.5, "1 voxels of the mask"), (-1.0, "negative")]
)
def test_empty_and_fractional_masks_are_refused(write_nifti, value, reason):
    array = np.zeros(SHAPE, np.float32)
    array[1, 2, 3] = value
    with pytest.raises(VolumeReadError, match=reason):
        read_mask(write_nifti(array))


def test_a_mask_on_another_grid_is_refused_with_both_grids(write_nifti, make_affine):
    path = write_nifti(np.ones(SHAPE, np.uint8), affine=make_affine("LAS"))
    assert read_mask(path, like=Geometry(SHAPE, make_affine("LAS"))).all()
    flipped = Geometry(SHAPE, make_affine("RAS"))
    moved = Geometry(SHAPE, make_affine("LAS", origin=(0.0, 0.0, 0.0)))
    for like in (flipped, moved):
        with pytest.raises(GeometryError, match=r"mask 7x6x5.*LAS.*image 7x6x5.*Resample"):
            read_mask(path, like=like)


def test_dicom_without_its_extra_says_the_line_that_installs_it(tmp_path, monkeypatch):
    (tmp_path / "scan.dcm").write_bytes(bytes(128) + b"DICM")
    monkeypatch.setitem(sys.modules, "medtranslate.io.dicom.reading", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'medtranslate\[dicom\]'"):
        read_volume(tmp_path)
