"""A synthetic volume as a DICOM series derived from the series it was predicted from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.sr.codedict import codes
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from medtranslate.errors import VolumeWriteError
from medtranslate.geometry import Geometry
from medtranslate.io.dicom.identity import Identity, Naming, derive_uid, read_text
from medtranslate.io.dicom.marks import Synthesis, code_sequence, mark
from medtranslate.io.dicom.planes import (
    Plane,
    SourceImage,
    matching_images,
    slice_planes,
    source_images,
)
from medtranslate.io.dicom.stored import StoredValues, store_arbitrary, store_hounsfield
from medtranslate.provenance import hash_volume
from medtranslate.volume import Volume

SERIES_NUMBER = 9000
"""Of the synthetic series; what is derived from it counts on."""

_CT_WINDOW_HU = (40.0, 400.0)
_MR_WINDOW_PERCENTILES = (1.0, 99.0)
_BITS = 16


@dataclass(frozen=True, eq=False)
class DerivedSeries:
    """A synthetic series in memory, ready to be written or to be referred to.

    Attributes:
        datasets: One instance a slice, along the volume's third axis.
        geometry: Where the voxels lie.
        identity: Whether patient and study are those of the source.
        num_clipped: Voxels that 16 bits could not hold.
        on_source_grid: Whether each slice lies in the place of a source image.
    """

    datasets: tuple[Dataset, ...]
    geometry: Geometry
    identity: Identity
    num_clipped: int
    on_source_grid: bool

    @property
    def series_uid(self) -> str:
        """The Series Instance UID."""
        return str(self.datasets[0].SeriesInstanceUID)


def derive_series(
    volume: Volume, sources: Sequence[Dataset], synthesis: Synthesis, *, identity: Identity
) -> DerivedSeries:
    """Make the DICOM series of a synthetic volume.

    Nothing of the source is taken over but what :mod:`medtranslate.io.dicom.identity` lists; of
    its images only where they lie and, as references, which they are. Equal voxels from equal
    sources get equal UIDs, so that a series sent twice is filed once.

    Args:
        volume: One channel, finite; its axes are column, row and slice.
        sources: The headers of the source series; pixels are not looked at.
        synthesis: What made the volume.
        identity: Whether patient and study are named as in the source.

    Raises:
        DicomError: If the source lacks what must be referred to.
        VolumeWriteError: If the target is neither MR nor CT.
    """
    naming = Naming(identity)
    images = source_images(sources)
    planes = slice_planes(volume.geometry)
    stored = _store(volume)
    shared = _describe_series(volume, sources[0], synthesis, stored, naming)
    shared.SeriesInstanceUID = derive_uid(
        read_text(sources[0], "SeriesInstanceUID"), identity,
        hash_volume(volume.array, volume.geometry.affine), synthesis.model_sha256,
    )  # fmt: skip
    shared.ReferencedSeriesSequence = _refer_to_series(sources[0], images, naming)
    matches = [matching_images(plane, images) for plane in planes]
    datasets = []
    for number, (plane, (near, in_place)) in enumerate(zip(planes, matches, strict=True)):
        dataset = _copy_shallow(shared)
        dataset.SourceImageSequence = _refer_to_images(near, naming, in_place=in_place)
        _place(dataset, plane, volume.geometry, number)
        dataset.PixelData = np.ascontiguousarray(stored.array[:, :, number].T, "<u2").tobytes()
        _finish(dataset)
        datasets.append(dataset)
    in_place = all(found for _, found in matches)
    return DerivedSeries(
        tuple(datasets), volume.geometry, identity, stored.num_clipped, on_source_grid=in_place
    )


def _store(volume: Volume) -> StoredValues:
    if volume.modality == "PET":
        raise VolumeWriteError(
            "a synthetic PET cannot be written as DICOM, which takes MR and CT; leave --format out"
            " to write NIfTI"
        )
    store = store_hounsfield if volume.unit == "HU" else store_arbitrary
    return store(volume.voxels)


def _describe_series(
    volume: Volume, source: Dataset, synthesis: Synthesis, stored: StoredValues, naming: Naming
) -> Dataset:
    """What all slices say alike."""
    dataset = naming.study(source)
    mark(dataset, synthesis, title=f"{synthesis.target} from {synthesis.source}")
    dataset.SeriesNumber = SERIES_NUMBER
    dataset.FrameOfReferenceUID = _frame_of_reference(source, naming)
    dataset.PositionReferenceIndicator = None
    dataset.AcquisitionNumber = None
    dataset.PatientPosition = dataset.get("PatientPosition", "")
    if "BodyPartExamined" not in dataset and "Laterality" not in dataset:
        dataset.Laterality = None  # unknown: only a known body part makes it dispensable
    if volume.unit == "HU":
        _describe_ct(dataset)
    else:
        _describe_mr(dataset, stored)
    dataset.RescaleSlope = format_number_as_ds(stored.slope)
    dataset.RescaleIntercept = format_number_as_ds(stored.intercept)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Columns, dataset.Rows = volume.geometry.shape[:2]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = _BITS, _BITS, _BITS - 1
    dataset.PixelRepresentation = 0
    return dataset


def _frame_of_reference(source: Dataset, naming: Naming) -> str:
    """The source's; where it names none, as old scanners do, one of the series' own."""
    told = read_text(source, "FrameOfReferenceUID")
    if UID(told).is_valid:
        return naming.uid(told)
    return derive_uid("frame of reference", read_text(source, "SeriesInstanceUID"))


def _describe_ct(dataset: Dataset) -> None:
    """What a CT has to say; no voltage, current or dose, because nothing was irradiated."""
    dataset.SOPClassUID = CTImageStorage
    dataset.Modality = "CT"
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.KVP = None
    dataset.RescaleType = "HU"
    dataset.WindowCenter, dataset.WindowWidth = _CT_WINDOW_HU


def _describe_mr(dataset: Dataset, stored: StoredValues) -> None:
    """What an MR has to say; no pulse sequence was played, so its numbers are empty."""
    dataset.SOPClassUID = MRImageStorage
    dataset.Modality = "MR"
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    dataset.ScanningSequence = "RM"
    dataset.SequenceVariant = "NONE"
    for keyword in ("ScanOptions", "MRAcquisitionType", "EchoTime", "EchoTrainLength",
                    "RepetitionTime"):  # fmt: skip
        setattr(dataset, keyword, None)
    low, high = np.percentile(stored.restore(), _MR_WINDOW_PERCENTILES)
    dataset.WindowCenter = format_number_as_ds(float((low + high) / 2))
    dataset.WindowWidth = format_number_as_ds(float(max(high - low, stored.slope)))


def _place(dataset: Dataset, plane: Plane, geometry: Geometry, number: int) -> None:
    """Where one slice lies, and its own UID and number."""
    between_columns, between_rows, between_slices = geometry.spacing
    dataset.ImagePositionPatient = _decimals(plane.position)
    dataset.ImageOrientationPatient = _decimals([*plane.along_row, *plane.along_column])
    dataset.PixelSpacing = _decimals([between_rows, between_columns])
    dataset.SliceThickness = format_number_as_ds(between_slices)
    if dataset.Modality == "MR":
        dataset.SpacingBetweenSlices = format_number_as_ds(between_slices)
    dataset.InstanceNumber = number + 1
    dataset.SOPInstanceUID = derive_uid(dataset.SeriesInstanceUID, number)


def _refer_to_series(
    source: Dataset, images: Sequence[SourceImage], naming: Naming
) -> DicomSequence:
    """The whole source series."""
    item = Dataset()
    item.SeriesInstanceUID = naming.uid(read_text(source, "SeriesInstanceUID"))
    instances = {one.sop_instance_uid: one.sop_class_uid for one in images}
    item.ReferencedInstanceSequence = DicomSequence(
        [_refer(kind, naming.uid(uid)) for uid, kind in instances.items()]
    )
    return DicomSequence([item])


def _refer_to_images(
    images: Sequence[SourceImage], naming: Naming, *, in_place: bool
) -> DicomSequence:
    """The source images of one slice, with what they were used for."""
    items = []
    for image in images:
        item = _refer(image.sop_class_uid, naming.uid(image.sop_instance_uid))
        if image.frame is not None:
            item.ReferencedFrameNumber = image.frame
        purpose = codes.DCM.SourceImageForImageProcessingOperation
        item.PurposeOfReferenceCodeSequence = code_sequence(purpose)
        item.SpatialLocationsPreserved = "YES" if in_place else "NO"
        items.append(item)
    return DicomSequence(items)


def _refer(kind: str, uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = kind
    item.ReferencedSOPInstanceUID = uid
    return item


def _copy_shallow(dataset: Dataset) -> Dataset:
    copied = Dataset()
    copied.update(dataset)
    return copied


def _finish(dataset: Dataset) -> None:
    """The head of the file; explicit types, so that tools older than a tag still know its kind."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta


def _decimals(numbers: Sequence[float] | np.ndarray) -> list[str]:
    return [format_number_as_ds(float(number) + 0.0) for number in numbers]
