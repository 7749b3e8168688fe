"""A derived series: where it lies, what its numbers mean, what it says and what it keeps quiet."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from medtranslate.errors import DicomError, VolumeWriteError
from medtranslate.geometry import Geometry
from medtranslate.io.dicom.derive import derive_series
from medtranslate.io.dicom.reading import read_series
from medtranslate.io.dicom.writing import write_datasets
from medtranslate.volume import Volume

PLANTED = ("Quillfeather", "19530417", "PID-778-2231", "ACC99117", "Mossbank")


@pytest.fixture(params=["RAS", "LPS", "PIR"])
def volume(request, make_volume):
    return make_volume(orientation=request.param)


def test_our_own_reader_finds_the_same_voxels_in_the_same_place(
    volume, make_sources, synthesis, tmp_path
):
    series = derive_series(volume, make_sources(volume), synthesis, identity="keep")
    write_datasets(tmp_path / "s", series.datasets)

    read = read_series(tmp_path / "s").volume

    step = float(series.datasets[0].RescaleSlope)
    index = np.array([[0, 0, 0, 1], [3, 1, 2, 1], [12, 9, 6, 1]], dtype=float).T
    world = volume.geometry.affine @ index
    place = np.rint(np.linalg.inv(read.geometry.affine) @ world).astype(int)
    np.testing.assert_allclose(read.geometry.affine @ place, world, atol=1e-3)
    for (i, j, k, _), (x, y, z, _) in zip(index.T.astype(int), place.T, strict=True):
        assert abs(read.voxels[x, y, z] - volume.voxels[i, j, k]) <= step / 2 + 1e-6


def test_simpleitk_reads_the_same_geometry_and_values(volume, make_sources, synthesis, tmp_path):
    series = derive_series(volume, make_sources(volume), synthesis, identity="keep")
    write_datasets(tmp_path / "s", series.datasets)

    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "s"))
    image = sitk.ReadImage(names)

    found = sitk.GetArrayFromImage(image)
    for i, j, k in [(0, 0, 0), (5, 4, 3), (12, 2, 6), (1, 9, 5)]:
        x, y, z, _ = volume.geometry.affine @ [i, j, k, 1]
        index = image.TransformPhysicalPointToIndex([-x, -y, z])
        back = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(back, [-x, -y, z], atol=1e-3)
        step = float(series.datasets[0].RescaleSlope)
        assert abs(found[index[::-1]] - volume.voxels[i, j, k]) <= step / 2 + 1e-3


def test_hounsfield_units_are_whole_steps_and_what_does_not_fit_is_counted(
    oblique_volume, make_sources, synthesis
):
    array = oblique_volume.array - 1024.25
    array[0, 0, 0, 0], array[0, 1, 0, 0] = -3000, 70000
    volume = replace(oblique_volume, array=array, modality="CT", unit="HU")

    series = derive_series(volume, make_sources(volume), synthesis, identity="keep")

    first = series.datasets[0]
    assert (first.Modality, float(first.RescaleSlope), float(first.RescaleIntercept)) == (
        "CT", 1, -1024,
    )  # fmt: skip
    assert first.RescaleType == "HU"
    assert series.num_clipped == 2
    restored = np.stack([one.pixel_array.T - 1024.0 for one in series.datasets], axis=-1)
    kept = (array[0] > -2000) & (array[0] < 60000)
    assert np.abs(restored - array[0])[kept].max() <= 0.5


def test_it_says_in_every_place_that_it_is_synthetic(derived):
    for one in derived.datasets:
        assert one.SyntheticData == "YES"
        assert list(one.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        assert one.SeriesDescription == "[SYNTHETIC] T2w from T1w"
        assert one.ContentQualification == "RESEARCH"
        equipment = one.ContributingEquipmentSequence[0]
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
        assert "ab" * 32 in equipment.ContributionDescription
        assert one.Manufacturer == "Synthetic (medtranslate)"
        assert not {"SAR", "ProtocolName", "InstitutionName"} & {e.keyword for e in one}


def test_each_slice_refers_to_the_source_image_in_its_place(
    oblique_volume, make_sources, synthesis
):
    sources = make_sources(oblique_volume)
    series = derive_series(oblique_volume, sources[::-1], synthesis, identity="keep")

    assert series.on_source_grid
    for one, source in zip(series.datasets, sources, strict=True):
        item = one.SourceImageSequence[0]
        assert item.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert item.SpatialLocationsPreserved == "YES"
        assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert one.ImagePositionPatient == pytest.approx(source.ImagePositionPatient, abs=1e-5)
        assert one.FrameOfReferenceUID == source.FrameOfReferenceUID
        referenced = one.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        assert len(referenced) == len(sources)


def test_on_a_grid_of_its_own_a_slice_refers_to_its_neighbours(
    oblique_volume, make_sources, synthesis
):
    affine = oblique_volume.geometry.affine.copy()
    affine[:3, 3] += affine[:3, 2] * 0.5
    moved = Volume(oblique_volume.array, Geometry(oblique_volume.geometry.shape, affine))
    sources = make_sources(oblique_volume)

    series = derive_series(moved, sources, synthesis, identity="keep")

    assert not series.on_source_grid
    found = {one.ReferencedSOPInstanceUID for one in series.datasets[2].SourceImageSequence}
    assert found == {sources[2].SOPInstanceUID, sources[3].SOPInstanceUID}
    assert series.datasets[2].SourceImageSequence[0].SpatialLocationsPreserved == "NO"


def test_a_pseudonym_leaves_no_trace_of_the_person_in_any_byte(
    oblique_volume, make_sources, synthesis, tmp_path
):
    sources = make_sources(oblique_volume)
    sources[0].BodyPartExamined = "QUILLFEATHER"
    series = derive_series(oblique_volume, sources, synthesis, identity="pseudonym")
    paths = write_datasets(tmp_path / "s", series.datasets)

    everything = b"".join(path.read_bytes() for path in paths)
    uids = [getattr(sources[0], f"{name}InstanceUID") for name in ("Study", "Series", "SOP")]
    for planted in (*PLANTED, "QUILLFEATHER", *uids, sources[0].FrameOfReferenceUID, "20240229"):
        assert planted.encode() not in everything


def test_the_clinical_route_keeps_patient_and_study_and_nothing_else(derived):
    first = derived.datasets[0]

    assert str(first.PatientName) == "Quillfeather^Ottilie"
    assert (first.PatientID, first.PatientBirthDate) == ("PID-778-2231", "19530417")
    assert (first.StudyDate, first.AccessionNumber) == ("20240229", "ACC99117")
    assert "PatientComments" not in first
    assert [element for element in first if element.tag.is_private] == []


def test_equal_voxels_of_equal_sources_get_equal_uids_and_others_do_not(
    oblique_volume, make_sources, synthesis
):
    sources = make_sources(oblique_volume)
    again = [
        derive_series(volume, sources, synthesis, identity="keep")
        for volume in (
            oblique_volume, oblique_volume, replace(oblique_volume, array=oblique_volume.array + 1)
        )
    ]  # fmt: skip

    uids = [tuple(one.SOPInstanceUID for one in series.datasets) for series in again]
    assert uids[0] == uids[1]
    assert not set(uids[0]) & set(uids[2])
    assert len(set(uids[0])) == len(sources)


def test_what_cannot_be_said_in_dicom_is_refused(oblique_volume, make_sources, synthesis):
    sources = make_sources(oblique_volume)
    with pytest.raises(VolumeWriteError, match="synthetic PET"):
        derive_series(replace(oblique_volume, modality="PET"), sources, synthesis, identity="keep")
    del sources[2].ImagePositionPatient
    with pytest.raises(DicomError, match="lacks a position"):
        derive_series(oblique_volume, sources, synthesis, identity="keep")


def test_written_files_are_explicit_and_have_an_empty_preamble(derived, tmp_path):
    path = write_datasets(tmp_path / "s", derived.datasets)[0]

    assert path.read_bytes()[:128] == bytes(128)
    assert dcmread(path).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


@pytest.mark.parametrize("identity", ["keep", "pseudonym"])
def test_a_source_without_frame_of_reference_gets_one_of_its_own(
    oblique_volume, make_sources, synthesis, identity
):
    frames = []
    for series in ("1.2.3", "1.2.4"):
        sources = make_sources(oblique_volume)
        for one in sources:
            del one.FrameOfReferenceUID
            one.SeriesInstanceUID = series
        made = derive_series(oblique_volume, sources, synthesis, identity=identity)
        frames.append({one.FrameOfReferenceUID for one in made.datasets})

    assert [len(one) for one in frames] == [1, 1]
    assert not frames[0] & frames[1]
    assert "" not in frames[0]
