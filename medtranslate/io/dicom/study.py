"""What every object beside a synthetic series says alike: whose it is, and that it is synthetic."""

from __future__ import annotations

from pydicom.dataset import Dataset

from medtranslate.io.dicom.derive import DerivedSeries
from medtranslate.io.dicom.marks import Synthesis, mark

_SHARED = (
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate",
    "PatientSex", "PatientIdentityRemoved",
    "DeidentificationMethod", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID",
    "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID",
    "PositionReferenceIndicator",
)  # fmt: skip
_OF_IMAGES = ("ContentQualification", "BurnedInAnnotation", "RecognizableVisualFeatures",
              "DerivationDescription", "ContentDate", "ContentTime")  # fmt: skip


def start_object(series: DerivedSeries, synthesis: Synthesis, *, title: str) -> Dataset:
    """A data set that belongs to the study of a synthetic series and holds no image.

    Args:
        series: Whose patient, study and frame of reference it shares.
        synthesis: What made the series.
        title: What the new series shows, without the mark.
    """
    dataset = Dataset()
    first = series.datasets[0]
    for keyword in _SHARED:
        if keyword in first:
            dataset[keyword] = first[keyword]
    mark(dataset, synthesis, title=title)
    for keyword in _OF_IMAGES:
        delattr(dataset, keyword)
    return dataset
