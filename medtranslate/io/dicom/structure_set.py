"""Masks as an RT Structure Set: closed planar contours that planning systems read."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage
from pydicom.valuerep import format_number_as_ds

from medtranslate.geometry import Geometry
from medtranslate.io.dicom.contours import outline
from medtranslate.io.dicom.derive import SERIES_NUMBER, DerivedSeries
from medtranslate.io.dicom.identity import derive_uid
from medtranslate.io.dicom.marks import Synthesis
from medtranslate.io.dicom.planes import LPS_FROM_RAS
from medtranslate.io.dicom.study import start_object
from medtranslate.provenance import hash_volume

_COLOURS = ((230, 60, 60), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180))
_DECIMALS = 4
_LABEL = "SYNTHETIC"
_DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"
_MAX_LABEL = 64


def make_structure_set(
    masks: Mapping[str, np.ndarray], series: DerivedSeries, synthesis: Synthesis
) -> Dataset:
    """Contours of masks, drawn on a synthetic series.

    Args:
        masks: Boolean, shape ``(i, j, k)`` on the grid of ``series``, by name.
        series: The images the contours lie on.
        synthesis: What made the series.

    Returns:
        An RT Structure Set with a region for each mask, in the order given.
    """
    dataset = start_object(series, synthesis, title="structures")
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.Modality = "RTSTRUCT"
    hashes = [hash_volume(mask, series.geometry.affine) for mask in masks.values()]
    dataset.SeriesInstanceUID = derive_uid(series.series_uid, "structures", *masks, *hashes)
    dataset.SOPInstanceUID = derive_uid(dataset.SeriesInstanceUID, 0)
    dataset.SeriesNumber = SERIES_NUMBER + 3
    dataset.InstanceNumber = 1
    dataset.StructureSetLabel = _LABEL
    dataset.StructureSetDate = synthesis.created.strftime("%Y%m%d")
    dataset.StructureSetTime = synthesis.created.strftime("%H%M%S")
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.ReferencedFrameOfReferenceSequence = DicomSequence([_refer_to_frame(series)])
    rois = list(enumerate(masks.items(), start=1))
    frame = series.datasets[0].FrameOfReferenceUID
    dataset.StructureSetROISequence = DicomSequence(
        [_describe(number, name, frame) for number, (name, _) in rois]
    )
    dataset.ROIContourSequence = DicomSequence(
        [
            _draw(number, mask, colour, series)
            for (number, (_, mask)), colour in zip(rois, cycle(_COLOURS), strict=False)
        ]
    )
    dataset.RTROIObservationsSequence = DicomSequence([_observe(number) for number, _ in rois])
    dataset.OperatorsName = None
    _finish(dataset)
    return dataset


def _refer_to_frame(series: DerivedSeries) -> Dataset:
    """The frame of reference, the study, the series and its images, one inside the other."""
    first = series.datasets[0]
    images = Dataset()
    images.SeriesInstanceUID = series.series_uid
    images.ContourImageSequence = DicomSequence([_refer(one) for one in series.datasets])
    study = Dataset()
    study.ReferencedSOPClassUID = _DETACHED_STUDY
    study.ReferencedSOPInstanceUID = first.StudyInstanceUID
    study.RTReferencedSeriesSequence = DicomSequence([images])
    frame = Dataset()
    frame.FrameOfReferenceUID = first.FrameOfReferenceUID
    frame.RTReferencedStudySequence = DicomSequence([study])
    return frame


def _refer(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return item


def _describe(number: int, name: str, frame_of_reference_uid: str) -> Dataset:
    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = frame_of_reference_uid
    item.ROIName = name[:_MAX_LABEL]
    item.ROIGenerationAlgorithm = None
    return item


def _observe(number: int) -> Dataset:
    """What the region stands for: not said, because it is not known."""
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    item.RTROIInterpretedType = None
    item.ROIInterpreter = None
    return item


def _draw(
    number: int, mask: np.ndarray, colour: tuple[int, int, int], series: DerivedSeries
) -> Dataset:
    """The contours of one region, slice by slice."""
    item = Dataset()
    item.ReferencedROINumber = number
    item.ROIDisplayColor = list(colour)
    contours: list[Dataset] = []
    for k in np.flatnonzero(mask.any(axis=(0, 1))):
        for polygon in outline(mask[:, :, k]):
            contour = Dataset()
            contour.ContourImageSequence = DicomSequence([_refer(series.datasets[k])])
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(polygon)
            contour.ContourData = _coordinates(polygon, int(k), series.geometry)
            contour.ContourNumber = len(contours) + 1
            contours.append(contour)
    item.ContourSequence = DicomSequence(contours)
    return item


def _coordinates(polygon: np.ndarray, k: int, geometry: Geometry) -> list[str]:
    """The points of a polygon in the patient's LPS axes, millimetres, one number after another."""
    affine = LPS_FROM_RAS @ geometry.affine
    index = np.column_stack([polygon, np.full(len(polygon), float(k))])
    points = index @ affine[:3, :3].T + affine[:3, 3]
    return [format_number_as_ds(round(float(number), _DECIMALS)) for number in points.ravel()]


def _finish(dataset: Dataset) -> None:
    """The head of the file; with explicit types a contour would end at 64 kB of text."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.file_meta = meta
