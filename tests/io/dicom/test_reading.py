"""A series is read as the volume it was written from, or refused with the name of its fault."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from medtranslate.errors import DicomError, GeometryError, MedTranslateError
from medtranslate.io import read_header, read_volume
from medtranslate.io.dicom.location import Fixes
from medtranslate.io.dicom.reading import read_series

from .conftest import FLIP, enhanced, save_all, slice_headers


def assert_same_world(volume, truth, *, scale=1.0):
    """Every voxel has the value that the truth has at its place in the world."""
    index = np.stack(np.meshgrid(*map(np.arange, volume.geometry.shape), indexing="ij"))
    world = np.tensordot(volume.geometry.affine[:3, :3], index, 1)
    world += volume.geometry.affine[:3, 3][:, None, None, None]
    back = np.linalg.inv(truth.geometry.affine)
    there = np.tensordot(back[:3, :3], world, 1) + back[:3, 3][:, None, None, None]
    np.testing.assert_allclose(there, np.rint(there), atol=1e-4)
    i, j, k = np.rint(there).astype(int)
    np.testing.assert_allclose(volume.voxels, scale * truth.voxels[i, j, k], atol=1e-3)


def test_an_oblique_series_gives_the_volume_and_the_place_it_was_written_from(write_series, truth):
    volume = read_volume(write_series())

    assert (volume.modality, volume.unit) == ("CT", "HU")
    np.testing.assert_array_equal(volume.voxels, truth.voxels)
    np.testing.assert_allclose(volume.geometry.affine, truth.geometry.affine, atol=1e-6)


def test_every_orientation_of_the_slices_gives_the_same_world(
    write_series, make_volume, orientation
):
    volume = make_volume((5, 4, 3), orientation=orientation)
    volume = type(volume)(np.rint(volume.array), volume.geometry)

    read = read_volume(write_series(volume=volume, folder=orientation))

    assert_same_world(read, volume)


def test_order_comes_from_positions_not_from_names_or_numbers(write_series, truth):
    def shuffle(datasets):
        datasets[:] = [datasets[n] for n in (3, 0, 5, 1, 4, 2)]
        for n, ds in enumerate(datasets):
            ds.InstanceNumber = 10 - n

    series = read_series(write_series(shuffle))

    np.testing.assert_array_equal(series.volume.voxels, truth.voxels)
    for k, source in enumerate(series.slices):
        position = np.array(series.datasets[source.dataset].ImagePositionPatient, float)
        place = truth.geometry.affine @ [0, 0, k, 1]
        np.testing.assert_allclose(FLIP @ position, place[:3], atol=1e-6)
        assert "PixelData" not in series.datasets[source.dataset]


def test_pet_is_rescaled_slice_by_slice_and_says_its_unit(write_series, truth):
    def rescale(datasets):
        for k, ds in enumerate(datasets):
            ds.RescaleSlope, ds.RescaleIntercept = str(0.5 + k), "3"

    path = write_series(rescale, modality="PT")
    volume = read_volume(path)

    assert volume.modality == "PET"
    expected = truth.voxels * (0.5 + np.arange(6)) + 3
    np.testing.assert_allclose(volume.voxels, expected, rtol=1e-6)
    assert "BQML" in read_header(path).warnings[-1]


def test_frames_of_an_enhanced_file_are_placed_and_rescaled_one_by_one(tmp_path, truth):
    save_all(tmp_path / "enhanced", [enhanced(slice_headers(truth, "MR"))])

    series = read_series(tmp_path / "enhanced")

    slopes = np.array([6, 1, 2, 3, 4, 5])  # the first slice is the last frame
    np.testing.assert_array_equal(series.volume.voxels, truth.voxels * slopes - 5)
    np.testing.assert_allclose(series.volume.geometry.affine, truth.geometry.affine, atol=1e-6)
    assert [source.frame for source in series.slices] == [5, 0, 1, 2, 3, 4]
    assert len(series.datasets) == 1
    single = read_volume(tmp_path / "enhanced" / "IM1.dcm")
    np.testing.assert_array_equal(single.voxels, series.volume.voxels)


def drop(datasets):
    del datasets[2:4]


def copy(datasets):
    datasets.append(slice_copy(datasets[1], "77"))


def slice_copy(ds, number):
    import copy as copying

    twin = copying.deepcopy(ds)
    twin.SOPInstanceUID += f".{number}"
    return twin


def conflict(datasets):
    copy(datasets)
    datasets[-1].PixelData = bytes(len(datasets[-1].PixelData))


def repeat_all(datasets):
    twins = [slice_copy(ds, "5") for ds in datasets]
    for twin in twins:
        twin.PixelData = twin.PixelData[2:] + b"\0\0"
    datasets += twins


def shrink(datasets):
    ds = datasets[4]
    ds.Rows, ds.Columns = 4, 4
    ds.PixelData = ds.PixelData[:32]


def turn(datasets):
    axes = list(datasets[3].ImageOrientationPatient)
    datasets[3].ImageOrientationPatient = [*axes[3:], *axes[:3]]


def widen(datasets):
    datasets[3].PixelSpacing = ["2.0", "2.0"]


def move(datasets):
    normal = FLIP @ np.cross(*np.array(datasets[0].ImageOrientationPatient, float).reshape(2, 3))
    step = FLIP @ normal
    datasets[-1].ImagePositionPatient = [
        f"{p + 1.2 * n:.8f}" for p, n in zip(datasets[-1].ImagePositionPatient, step, strict=True)
    ]


def shove(datasets):
    axis = np.array(datasets[0].ImageOrientationPatient[:3], float)
    datasets[2].ImagePositionPatient = [
        f"{p + 5 * n:.8f}" for p, n in zip(datasets[2].ImagePositionPatient, axis, strict=True)
    ]


def cut(datasets):
    datasets[2].PixelData = datasets[2].PixelData[:-20]


def unplace(datasets):
    del datasets[2].ImagePositionPatient


def unspace(datasets):
    del datasets[0].PixelSpacing


def misplace(datasets):
    datasets[1].FrameOfReferenceUID += ".3"


def colour(datasets):
    for ds in datasets:
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 3, "RGB"


def palette(datasets):
    for ds in datasets:
        ds.PhotometricInterpretation = "PALETTE COLOR"


def capture(datasets):
    for ds in datasets:
        ds.SOPClassUID = SecondaryCaptureImageStorage


def scout(datasets):
    for ds in datasets:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def unscale(datasets):
    del datasets[5].RescaleSlope


def unnamed_unit(datasets):
    for ds in datasets:
        ds.RescaleType = "US"


def infinite(datasets):
    datasets[0].ImagePositionPatient = ["1e400", "0", "0"]


FAULTS = [
    (drop, r"missing-slices: 2 slices are missing: 2 between IM2.dcm .* and IM3.dcm"),
    (copy, r"duplicates: 1 slice is a copy: IM7.dcm of IM2.dcm at .*drop-duplicates"),
    (conflict, r"conflicting-slices: IM2.dcm and IM7.dcm both lie at"),
    (repeat_all, r"several-volumes: holds 2 slices with different voxels at each of 6 places"),
    (shrink, r"mixed-size: .*1 4x4 pixels \(first IM5.dcm\)"),
    (turn, r"mixed-orientation: .*1 like IM4.dcm"),
    (widen, r"mixed-spacing: .*1 2x2 mm \(first IM4.dcm\)"),
    (move, r"varying-spacing: .*4.300 mm between IM5.dcm and IM6.dcm"),
    (shove, r"irregular-position: .*IM3.dcm is aside"),
    (cut, r"damaged: IM3.dcm: it is cut off: 124 of 144 bytes"),
    (unplace, r"absent-position: IM3.dcm"),
    (unspace, r"absent-spacing: IM1.dcm"),
    (misplace, r"several-frames-of-reference: .*\(first IM2.dcm\)"),
    (colour, r"colour: IM1.dcm .*5 more"),
    (palette, r"colour: IM1.dcm"),
    (capture, r"kind: IM1.dcm is of the kind Secondary Capture"),
    (scout, r"kind: IM1.dcm is a projection"),
    (unscale, r"units: IM6.dcm does not say"),
    (unnamed_unit, r"units: IM1.dcm"),
    (infinite, r"absent-position: IM1.dcm"),
]


@pytest.mark.parametrize(("edit", "message"), FAULTS, ids=[edit.__name__ for edit, _ in FAULTS])
def test_a_faulty_series_is_refused_by_the_name_of_its_fault(write_series, edit, message):
    path = write_series(edit)

    with pytest.raises(DicomError, match=message) as caught:
        read_volume(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert "SECRET" not in str(caught.value)
    assert "Doe" not in str(caught.value)


def test_all_faults_of_a_series_are_told_at_once(write_series):
    def edit(datasets):
        widen(datasets)
        misplace(datasets)

    with pytest.raises(DicomError, match=r"mixed-spacing: .*\nseveral-frames-of-reference: "):
        read_volume(write_series(edit))


def test_copies_are_dropped_only_when_asked_for(write_series, truth):
    path = write_series(copy)

    series = read_series(path, fixes=Fixes(drop_duplicates=True))

    np.testing.assert_array_equal(series.volume.voxels, truth.voxels)
    assert series.header.repairs == ("1 exact copy of slices left out",)
    again = read_volume(f"{path}#drop-duplicates")
    np.testing.assert_array_equal(again.voxels, truth.voxels)


def test_missing_slices_are_interpolated_up_to_the_number_asked_for(write_series, truth):
    path = write_series(drop)
    with pytest.raises(DicomError, match="2 slices are missing.*interpolate-missing=1 allows 1"):
        read_series(path, fixes=Fixes(interpolate_missing=1))

    series = read_series(path, fixes=Fixes(interpolate_missing=2))

    expected = truth.voxels.copy()
    for k, share in ((2, 1 / 3), (3, 2 / 3)):
        expected[:, :, k] = (1 - share) * expected[:, :, 1] + share * expected[:, :, 4]
    np.testing.assert_allclose(series.volume.voxels, expected, atol=1e-3)
    np.testing.assert_allclose(series.volume.geometry.affine, truth.geometry.affine, atol=1e-6)
    assert series.slices[2] is None
    assert series.slices[3] is None
    assert "number 3, 4 of 6" in series.header.repairs[0]


def test_a_gantry_tilt_is_refused_and_undone_on_request(write_series, truth, skewed):
    path = write_series(volume=skewed)
    with pytest.raises(DicomError, match="gantry-tilt: gantry tilt of 16.2 degrees: .* 0.90 mm"):
        read_volume(path)

    series = read_series(path, fixes=Fixes(deskew=True))

    assert series.volume.geometry.shape == (14, 8, 6)
    for k in range(6):  # the shift is a whole number of voxels, so nothing is blurred
        moved = series.volume.voxels[k : k + 9, :, k]
        np.testing.assert_array_equal(moved, truth.voxels[:, :, k])
        before = skewed.geometry.affine @ [0, 0, k, 1]
        np.testing.assert_allclose(series.volume.geometry.affine @ [k, 0, k, 1], before, atol=1e-5)
    assert series.volume.voxels[13, 0, 0] == -1024
    assert "16.2 degrees" in series.header.repairs[0]


def test_one_slice_is_refused_as_a_file_and_placed_by_its_thickness_as_a_folder(write_series):
    path = write_series(lambda datasets: datasets.__delitem__(slice(1, None)))

    with pytest.raises(DicomError, match="is one slice of a series"):
        read_volume(path / "IM1.dcm")

    header = read_header(path)
    assert header.geometry.spacing[2] == pytest.approx(3.1)
    assert "single slice" in header.warnings[0]


def test_a_contrast_that_the_file_contradicts_is_refused(write_series):
    path = write_series(modality="MR")

    assert read_volume(path, modality="T2w").unit == "arbitrary"
    with pytest.raises(DicomError, match="said to be CT, but its DICOM says MR"):
        read_volume(path, modality="CT")


def test_two_series_in_a_folder_are_told_apart_by_name(write_series, truth):
    folder = write_series(modality="MR")
    save_all(folder, slice_headers(truth, "PT", series=2), prefix="PT")

    with pytest.raises(DicomError, match="holds 2 series") as caught:
        read_volume(folder)
    name = re.search(r"  (\w{8}): PT, 6 files", str(caught.value))[1]

    assert read_volume(f"{folder}#{name}").modality == "PET"
    with pytest.raises(DicomError, match="no series of that name"):
        read_volume(f"{folder}#00000000")


def test_a_claim_of_too_many_voxels_is_refused_before_anything_is_decoded(write_series):
    with pytest.raises(MedTranslateError, match="432 voxels .* at most 400"):
        read_volume(write_series(), max_voxels=400)


def test_nothing_of_a_damaged_value_reaches_warnings_logs_or_messages(
    write_series, caplog, recwarn
):
    def damage(datasets):
        for ds in datasets:
            ds.add_new("StudyDate", "DA", "19991231")
            ds["StudyDate"]._value = "JANE DOE 1950"
            ds["SliceThickness"]._value = "DOE"

    path = write_series()
    for file in path.iterdir():
        data = file.read_bytes().replace(b"19500101", b"DOE-1950")
        file.write_bytes(data)

    with caplog.at_level(logging.DEBUG):
        read_series(path)

    assert "DOE" not in caplog.text
    assert not recwarn.list


def test_a_sheared_affine_within_a_slice_is_refused(write_series):
    def shear(datasets):
        for ds in datasets:
            axes = list(ds.ImageOrientationPatient)
            ds.ImageOrientationPatient = [*axes[:3], *axes[:3]]

    with pytest.raises((DicomError, GeometryError), match="not at right angles"):
        read_volume(write_series(shear))
