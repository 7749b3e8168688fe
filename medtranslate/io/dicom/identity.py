"""What a derived object may take over from its source: an allow-list, checked value by value."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import UID

from medtranslate.errors import DicomError
from medtranslate.io.dicom.headers import quiet

Identity = Literal["pseudonym", "keep"]
"""Whether patient and study stay who they are, or get names that nobody outside can follow."""

_NAMESPACE = uuid.UUID("6b1f0f0c-7c35-5f0e-9a63-2f7d7b0e6a51")

_PATIENT_AND_STUDY = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID",
    "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
_REQUIRED_EVEN_IF_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip

_BODY_PARTS = frozenset((
    "ABDOMEN", "ABDOMENPELVIS", "ANKLE", "ARM", "BRAIN", "BREAST", "CHEST", "CHESTABDOMEN",
    "CHESTABDPELVIS", "CSPINE", "ELBOW", "EXTREMITY", "FOOT", "HAND", "HEAD", "HEADNECK", "HEART",
    "HIP", "KNEE", "LEG", "LIVER", "LSPINE", "NECK", "ORBIT", "PELVIS", "PROSTATE", "SHOULDER",
    "SKULL", "SPINE", "THIGH", "TSPINE", "WHOLEBODY", "WRIST",
))  # fmt: skip
_POSITIONS = frozenset((
    "HFP", "HFS", "HFDR", "HFDL", "FFDR", "FFDL", "FFP", "FFS", "LFP", "LFS", "RFP", "RFS", "AFDR",
    "AFDL", "PFDR", "PFDL",
))  # fmt: skip
_COMPRESSIONS = frozenset((
    "ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_15444_15", "ISO_13818_2", "ISO_14496_10",
))  # fmt: skip
_RATIO = re.compile(r"\d{1,6}(\.\d{1,6})?")

# What says nothing of a person, and only if its value is one of those that the standard names:
# a name typed into such a field does not travel.
_HARMLESS: dict[str, Callable[[str], bool]] = {
    "PatientPosition": _POSITIONS.__contains__,
    "BodyPartExamined": _BODY_PARTS.__contains__,
    "Laterality": frozenset("RL").__contains__,
    "LossyImageCompression": frozenset(("00", "01")).__contains__,
    "LossyImageCompressionMethod": _COMPRESSIONS.__contains__,
    "LossyImageCompressionRatio": lambda text: _RATIO.fullmatch(text) is not None,
}


def derive_uid(*parts: object) -> str:
    """A UID that follows from its parts: the same from the same, under the root 2.25 of UUIDs.

    Example:
        >>> derive_uid("1.2.3", "slice", 4) == derive_uid("1.2.3", "slice", 4)
        True
        >>> derive_uid("a", "b") == derive_uid("ab")
        False
    """
    text = "\n".join(str(part) for part in parts)
    return f"2.25.{uuid.uuid5(_NAMESPACE, text).int}"


@dataclass(frozen=True)
class Naming:
    """How the names of the source become those of what is derived from it.

    Attributes:
        identity: ``keep`` or ``pseudonym``.
    """

    identity: Identity

    def uid(self, original: str) -> str:
        """The UID that stands for ``original``: itself, or always the same other one."""
        if self.identity == "keep":
            return original
        return derive_uid("pseudonym", original)

    def study(self, source: Dataset) -> Dataset:
        """The attributes of patient and study, and what describes the position of the body.

        Args:
            source: One instance of the source series.

        Returns:
            A data set of its own with nothing but these.

        Raises:
            DicomError: If the source does not say which study it belongs to.
        """
        study_uid = str(read_text(source, "StudyInstanceUID"))
        if not UID(study_uid).is_valid:
            raise DicomError(
                "the source series has no valid Study Instance UID, expected digits and dots; a"
                " derived series cannot be filed. Correct it where the series comes from"
            )
        derived = Dataset()
        derived.SpecificCharacterSet = "ISO_IR 192"
        for keyword in _REQUIRED_EVEN_IF_EMPTY:
            setattr(derived, keyword, None)
        if self.identity == "keep":
            _copy(source, derived, _PATIENT_AND_STUDY)
        else:
            derived.PatientName = f"{pseudonym(study_uid)}^"
            derived.PatientID = pseudonym(study_uid)
            derived.PatientIdentityRemoved = "YES"
            derived.DeidentificationMethod = "medtranslate: attributes by allow-list, new UIDs"
        derived.StudyInstanceUID = self.uid(study_uid)
        _copy_harmless(source, derived)
        return derived


def pseudonym(study_uid: str) -> str:
    """The name of a person in derived objects of one study; it says nothing of who it is.

    Example:
        >>> pseudonym("1.2.3")
        'mt-f1834b90ac'
    """
    return f"mt-{uuid.uuid5(_NAMESPACE, study_uid).hex[:10]}"


def read_text(source: Dataset, keyword: str) -> str:
    """The text of an attribute, "" if it is absent; warnings, which would quote it, are silent."""
    with quiet(), config.disable_value_validation():
        value = source.get(keyword)
        return "" if value is None else str(value)


def _copy(source: Dataset, derived: Dataset, keywords: tuple[str, ...]) -> None:
    """Copy as it stands: an archive files by equal values, not by correct ones."""
    with quiet(), config.disable_value_validation():
        for keyword in keywords:
            value: Any = source.get(keyword)  # Any: whatever the attribute's VR holds
            if value is not None:
                setattr(derived, keyword, str(value) if keyword.endswith("Name") else value)


def _copy_harmless(source: Dataset, derived: Dataset) -> None:
    for keyword, is_known in _HARMLESS.items():
        text = read_text(source, keyword)
        if is_known(text):
            setattr(derived, keyword, text)
