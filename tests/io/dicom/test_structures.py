"""Masks, contours and standard deviations beside a synthetic series."""

from dataclasses import replace
from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from skimage.draw import polygon2mask

from medtranslate.errors import VolumeWriteError
from medtranslate.io.dicom.contours import outline
from medtranslate.io.dicom.parametric_map import make_deviation_map, make_error_map
from medtranslate.io.dicom.segmentation import make_segmentation
from medtranslate.io.dicom.structure_set import make_structure_set
from medtranslate.io.dicom.writing import write_datasets


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def ring_and_spots():
    x, y = np.meshgrid(np.arange(40), np.arange(30), indexing="ij")
    radius = np.hypot(x - 17, (y - 14) * 1.4)
    mask = (radius < 14) & (radius > 6)
    mask |= radius < 2
    mask[38, 27] = mask[0, 0] = mask[35, 1] = mask[36, 2] = True
    return mask


def filled(polygons, shape):
    result = np.zeros(shape, bool)
    for polygon in polygons:
        result ^= polygon2mask(shape, polygon)
    return result


def test_outlines_fill_back_to_the_mask_through_holes_and_islands():
    mask = ring_and_spots()

    polygons = outline(mask)

    assert len(polygons) == 6
    np.testing.assert_array_equal(filled(polygons, mask.shape), mask)


def test_contours_in_the_patient_fill_back_to_the_mask(derived, oblique_volume, synthesis):
    mask = oblique_volume.voxels > 300
    mask[4:6, 4:6, 3] = False

    structures = make_structure_set({"GTV": mask}, derived, synthesis)

    back = np.linalg.inv(np.diag([-1.0, -1, 1, 1]) @ oblique_volume.geometry.affine)
    found = np.zeros(mask.shape, bool)
    for contour in structures.ROIContourSequence[0].ContourSequence:
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        index = points @ back[:3, :3].T + back[:3, 3]
        k = int(np.rint(index[0, 2]))
        np.testing.assert_allclose(index[:, 2], k, atol=1e-3)
        found[:, :, k] ^= polygon2mask(mask.shape[:2], index[:, :2])
        assert contour.ContourGeometricType == "CLOSED_PLANAR"
        image = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
        assert image == derived.datasets[k].SOPInstanceUID
    assert mask.any()
    assert dice(found, mask) > 0.98
    assert structures.StructureSetROISequence[0].ROIName == "GTV"
    assert structures.SyntheticData == "YES"


def test_a_segmentation_reads_back_as_the_masks(derived, oblique_volume, synthesis):
    masks = {"GTV": oblique_volume.voxels > 300, "ball": oblique_volume.voxels > 500}

    segments = make_segmentation(masks, derived, synthesis)

    found = hd.seg.segread(reread(segments))
    uids = [(one.SOPInstanceUID) for one in derived.datasets]
    arrays = found.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    for number, mask in enumerate(masks.values()):
        np.testing.assert_array_equal(arrays[..., number].transpose(2, 1, 0) > 0, mask)
    assert [one.SegmentLabel for one in segments.SegmentSequence] == ["GTV", "ball"]
    assert segments.SyntheticData == "YES"


def test_a_parametric_map_holds_the_deviations_themselves(derived, oblique_volume, synthesis):
    sd = replace(oblique_volume, array=oblique_volume.array / 7)

    made = make_deviation_map(sd, derived, synthesis)

    found = dcmread(reread(made))
    frames = np.frombuffer(found.FloatPixelData, "<f4").reshape(7, 10, 13)
    for frame, groups in zip(frames, found.PerFrameFunctionalGroupsSequence, strict=True):
        position = [float(x) for x in groups.PlanePositionSequence[0].ImagePositionPatient]
        k = next(
            n
            for n, one in enumerate(derived.datasets)
            if one.ImagePositionPatient == pytest.approx(position, abs=1e-4)
        )
        np.testing.assert_array_equal(frame.T, sd.voxels[:, :, k])
    assert found.SyntheticData == "YES"
    assert found.ContributingEquipmentSequence[0].Manufacturer == "Synthetic (medtranslate)"


@pytest.mark.parametrize("unit", ["HU", "normalised"])
def test_a_map_of_errors_keeps_their_sign_and_unit(derived, oblique_volume, synthesis, unit):
    values = (oblique_volume.array - 400) / 7
    error = replace(oblique_volume, array=values, unit=unit)

    made = make_error_map(error, derived, synthesis)

    found = hd.imread(reread(made))
    frames = found.get_volume().array
    assert (frames.min(), frames.max()) == (values.min(), values.max())
    mapping = found.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    unit_code = mapping.MeasurementUnitsCodeSequence[0]
    assert unit_code.CodeValue == {"HU": "[hnsf'U]", "normalised": "1"}[unit]
    window = found.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    assert float(window.WindowCenter) == 0
    assert float(window.WindowWidth) == pytest.approx(2 * np.abs(values).max(), rel=1e-4)
    assert found.SeriesNumber == 9004


@pytest.mark.parametrize("make", [make_deviation_map, make_error_map])
def test_a_map_of_another_grid_is_refused(derived, make_volume, synthesis, make):
    with pytest.raises(ValueError, match="another grid"):
        make(make_volume(origin=(0, 0, 0)), derived, synthesis)


def test_a_map_that_the_disk_changed_is_refused(derived, oblique_volume, synthesis, tmp_path):
    made = make_error_map(oblique_volume, derived, synthesis)
    save = made.save_as

    def damage(path, **options):
        save(path, **options)
        data = path.read_bytes()
        start = data.index(made.FloatPixelData)
        path.write_bytes(data[: start + 40] + b"\xff" + data[start + 41 :])

    made.save_as = damage
    with pytest.raises(VolumeWriteError, match="differs from what was meant"):
        write_datasets(tmp_path / "map", [made])


def reread(dataset):
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    file.seek(0)
    return file
