"""What says in a DICOM object that it was not acquired, by which model and when it was made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

MANUFACTURER = "Synthetic (medtranslate)"
"""Not "medtranslate": some converters take every name that begins with Me for a vendor."""

_MAX_LONG_STRING = 64
_MAX_SHORT_TEXT = 1024


@dataclass(frozen=True)
class Synthesis:
    """What made derived objects.

    Attributes:
        target: What the model predicts, such as ``T2w``.
        source: What it predicts from.
        model: Name of its pipeline.
        model_sha256: Identifies its weights and configuration.
        software_version: Of this package.
        created: When, with a time zone.
        recognisable: Whether a face might be made out in the result.
    """

    target: str
    source: str
    model: str
    model_sha256: str
    software_version: str
    created: datetime
    recognisable: bool = True

    @property
    def derivation(self) -> str:
        """One sentence for people who meet the object in an archive."""
        return (
            f"SYNTHETIC: {self.target} predicted from {self.source} by a trained model; not"
            f" acquired, not for diagnosis, research use only. Model"
            f" {self.model[:_MAX_LONG_STRING]}, sha256 {self.model_sha256}"
        )

    def title(self, what: str) -> str:
        """A Series Description that begins with the mark people search by."""
        return f"[SYNTHETIC] {what}"[:_MAX_LONG_STRING]


def mark(dataset: Dataset, synthesis: Synthesis, *, title: str) -> None:
    """Write into ``dataset`` that it is synthetic, in every place that different tools keep.

    Args:
        dataset: Changed; its own equipment and times are set, its derivation described.
        synthesis: What made it.
        title: What the series shows, without the mark.
    """
    dataset.SyntheticData = "YES"
    dataset.SeriesDescription = synthesis.title(title)
    dataset.DerivationDescription = synthesis.derivation[:_MAX_SHORT_TEXT]
    dataset.ContentQualification = "RESEARCH"
    dataset.BurnedInAnnotation = "NO"
    dataset.RecognizableVisualFeatures = "YES" if synthesis.recognisable else "NO"
    sign(dataset, synthesis)


def sign(dataset: Dataset, synthesis: Synthesis) -> None:
    """Write which software made ``dataset``, as its equipment and as a contribution, and when."""
    dataset.update(equipment(synthesis))
    for keyword in ("InstanceCreation", "Content", "Series"):
        setattr(dataset, f"{keyword}Date", synthesis.created.strftime("%Y%m%d"))
        setattr(dataset, f"{keyword}Time", synthesis.created.strftime("%H%M%S"))
    item = equipment(synthesis)
    item.PurposeOfReferenceCodeSequence = code_sequence(codes.DCM.SynthesizingEquipment)
    item.ContributionDateTime = synthesis.created.strftime("%Y%m%d%H%M%S%z")
    item.ContributionDescription = synthesis.derivation[:_MAX_SHORT_TEXT]
    dataset.ContributingEquipmentSequence = DicomSequence([item])


def equipment(synthesis: Synthesis) -> Dataset:
    """The attributes that name this package and the model as the maker."""
    named = Dataset()
    named.Manufacturer = MANUFACTURER
    named.ManufacturerModelName = synthesis.model[:_MAX_LONG_STRING]
    named.DeviceSerialNumber = synthesis.model_sha256[:16]
    named.SoftwareVersions = synthesis.software_version
    return named


def code_sequence(code: Code) -> DicomSequence:
    """A sequence of one coded concept."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return DicomSequence([item])
