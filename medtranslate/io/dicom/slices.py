"""Slices as their headers describe them: one a file, or one a frame of a multi-frame file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset

from medtranslate.io.dicom.faults import Fault, fault
from medtranslate.io.dicom.files import short_name
from medtranslate.io.dicom.headers import class_name, item, items, number, numbers, text, whole

MODALITIES: dict[str, str] = {
    uid.CTImageStorage: "CT",
    uid.EnhancedCTImageStorage: "CT",
    uid.LegacyConvertedEnhancedCTImageStorage: "CT",
    uid.MRImageStorage: "MR",
    uid.EnhancedMRImageStorage: "MR",
    uid.LegacyConvertedEnhancedMRImageStorage: "MR",
    uid.PositronEmissionTomographyImageStorage: "PT",
    uid.EnhancedPETImageStorage: "PT",
    uid.LegacyConvertedEnhancedPETImageStorage: "PT",
}
"""Modality of every kind of object that is read, by SOP class."""

SLICE_TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "PatientID",
    "PatientName",
    "IssuerOfPatientID",
    "ImageType",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "Units",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""Attributes that say what a slice is and where it lies."""

_ENHANCED = tuple(one for one in MODALITIES if "Enhanced" in uid.UID(one).name)


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice, voxels unread; LPS, as DICOM stores it.

    Attributes:
        key: Of its file.
        instance: Its SOP Instance UID.
        frame: Frame in the file; None if the file is one slice.
        size: Columns and rows.
        position: Centre of the first voxel, shape ``(3,)``, mm.
        axes: Directions in which columns and rows count up, shape ``(2, 3)``, unit length.
        spacing: Distance of columns, then of rows, mm.
        slope: Real value of one stored step.
        intercept: Real value of stored 0.
        bits: Bits a stored value takes up.
        signed: Whether stored values are signed.
        frame_of_reference: UID of the patient space; empty if not told.
        thickness: Distance to the next slice as the header tells it; None if it does not.
        units: Unit of the real values as the header tells it; empty if it does not.
    """

    key: str
    instance: str
    frame: int | None
    size: tuple[int, int]
    position: np.ndarray
    axes: np.ndarray
    spacing: tuple[float, float]
    slope: float
    intercept: float
    bits: int
    signed: bool
    frame_of_reference: str
    thickness: float | None
    units: str

    @property
    def normal(self) -> np.ndarray:
        """Direction in which slices count up, unit length; right-handed with the axes."""
        return np.cross(self.axes[0], self.axes[1])

    @property
    def label(self) -> str:
        """How messages call it."""
        name = short_name(self.key)
        return name if self.frame is None else f"frame {self.frame + 1} of {name}"


def modality_of(header: Dataset) -> str | None:
    """``CT``, ``MR`` or ``PT``; None for objects that are not read."""
    return MODALITIES.get(text(header, "SOPClassUID"))


def slices_of(key: str, header: Dataset) -> tuple[list[Slice], list[Fault]]:
    """The slices of one file, and what keeps it from having any."""
    faults = list(_find_kind_faults(key, header))
    if faults:
        return [], faults
    if text(header, "SOPClassUID") not in _ENHANCED:
        return _gather(key, [(None, header, header)], header)
    frames = items(header, "PerFrameFunctionalGroupsSequence")
    count = whole(header, "NumberOfFrames")
    if count is None or len(frames) != count:
        what = f"{short_name(key)} describes {len(frames)} frames and claims {count}"
        return [], [fault("damaged", what)]
    shared = item(header, "SharedFunctionalGroupsSequence")
    return _gather(key, [(n, frame, shared) for n, frame in enumerate(frames)], header)


def _gather(
    key: str, frames: list[tuple[int | None, Dataset, Dataset]], header: Dataset
) -> tuple[list[Slice], list[Fault]]:
    slices: list[Slice] = []
    faults: list[Fault] = []
    for number_, own, shared in frames:
        found = _read_slice(key, number_, _FrameReader(own, shared), header)
        (slices if isinstance(found, Slice) else faults).append(found)  # type: ignore[arg-type]  # each list gets its own kind
    return slices, faults


@dataclass(frozen=True)
class _FrameReader:
    """Finds attributes of a frame in its own groups, then in those it shares with all frames."""

    own: Dataset
    shared: Dataset

    def group(self, keyword: str) -> Dataset:
        """A functional group; the dataset itself for files of one slice."""
        if self.own is self.shared:
            return self.own
        return item(self.own, keyword) or item(self.shared, keyword)


def _read_slice(
    key: str, frame: int | None, reader: _FrameReader, header: Dataset
) -> Slice | Fault:
    where = short_name(key) if frame is None else f"frame {frame + 1} of {short_name(key)}"
    measures = reader.group("PixelMeasuresSequence")
    position = numbers(reader.group("PlanePositionSequence"), "ImagePositionPatient", 3)
    axes = numbers(reader.group("PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    spacing = numbers(measures, "PixelSpacing", 2)
    if position is None or axes is None:
        return fault("absent-position", f"{where} does not say where it lies in the patient")
    if spacing is None or spacing.min() <= 0:
        return fault("absent-spacing", f"{where} does not give the size of its pixels")
    axes = axes.reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if np.abs(lengths - 1).max() > 1e-2 or abs(axes[0] @ axes[1]) > 1e-2:
        return fault("absent-position", f"{where} gives axes that are not at right angles")
    scale = _read_scale(where, reader.group("PixelValueTransformationSequence"), header)
    if isinstance(scale, Fault):
        return scale
    between = number(measures, "SpacingBetweenSlices") or number(header, "SpacingBetweenSlices")
    thickness = abs(between or number(measures, "SliceThickness") or 0.0)
    return Slice(
        key=key,
        instance=text(header, "SOPInstanceUID"),
        frame=frame,
        size=(whole(header, "Columns") or 0, whole(header, "Rows") or 0),
        position=position,
        axes=axes / lengths[:, None],
        spacing=(float(spacing[1]), float(spacing[0])),
        slope=scale[0],
        intercept=scale[1],
        bits=whole(header, "BitsAllocated") or 0,
        signed=whole(header, "PixelRepresentation") == 1,
        frame_of_reference=text(header, "FrameOfReferenceUID"),
        thickness=thickness or None,
        units=text(header, "Units"),
    )


def _read_scale(where: str, group: Dataset, header: Dataset) -> tuple[float, float] | Fault:
    """Slope and intercept from stored to real values."""
    modality = modality_of(header)
    slope, intercept = (number(group, f"Rescale{name}") for name in ("Slope", "Intercept"))
    kind = text(group, "RescaleType").upper()
    if modality == "CT" and (slope is None or intercept is None or kind not in ("", "HU")):
        return fault("units", f"{where} does not say how its values become Hounsfield units")
    if modality == "PT" and slope is None:
        return fault("units", f"{where} does not say how its values become activity")
    for name, value in (("Slope", slope), ("Intercept", intercept)):
        if value is None and text(group, f"Rescale{name}"):
            return fault("units", f"{where} has a rescaling that is not a number")
    if slope == 0:
        return fault("units", f"{where} has a rescale slope of 0")
    return (1.0 if slope is None else slope, intercept or 0.0)


def _find_kind_faults(key: str, header: Dataset) -> Iterator[Fault]:
    """What makes a file no slice of a scan."""
    where, modality = short_name(key), modality_of(header)
    colours = text(header, "PhotometricInterpretation")
    if (whole(header, "SamplesPerPixel") or 1) != 1 or not colours.startswith("MONOCHROME"):
        yield fault("colour", f"{where} is a picture in colours, or does not say what it is")
    if modality is None:
        yield fault("kind", f"{where} is of the kind {class_name(header)}")
        return
    if "LOCALIZER" in text(header, "ImageType") and modality == "CT":
        yield fault("kind", f"{where} is a projection to plan the scan by (localizer)")
    if colours == "MONOCHROME1" and modality != "CT":
        yield fault("units", f"{where} is stored as a negative, so bright may mean little")
    if items(header, "ModalityLUTSequence"):
        yield fault("units", f"{where} turns stored into real values by a table")
    sizes = [whole(header, keyword) or 0 for keyword in ("Rows", "Columns", "BitsAllocated")]
    if min(sizes) < 1 or sizes[2] not in (8, 16, 32):
        yield fault("damaged", f"{where} does not give a usable size of picture and pixel")
    if modality == "PT" and not text(header, "Units"):
        yield fault("units", f"{where} does not give the unit of its activity")
    if text(header, "SOPClassUID") not in _ENHANCED and (whole(header, "NumberOfFrames") or 1) > 1:
        yield fault("kind", f"{where} holds several frames without a position each")
