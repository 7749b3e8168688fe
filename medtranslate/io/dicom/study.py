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

_DATES = ("PatientBirthDate", "StudyDate", "StudyTime")


def undated_images(series: DerivedSeries) -> list[Dataset]:
    """The images of a series without dates of the study, for highdicom.

    It refuses those that are not valid, which an archive holds all the same;
    :func:`restore_dates` puts them into what it makes.
    """
    images = []
    for one in series.datasets:
        image = Dataset()
        image.update(one)
        image.file_meta = one.file_meta
        for keyword in _DATES:
            setattr(image, keyword, None)
        images.append(image)
    return images


def restore_dates(dataset: Dataset, series: DerivedSeries) -> None:
    """Write the dates of the study as they stand in the series."""
    for keyword in _DATES:
        dataset[keyword] = series.datasets[0][keyword]


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
