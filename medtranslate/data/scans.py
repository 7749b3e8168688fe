"""The values a dataset index is made of, and the selectors that pick scans from it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from medtranslate.errors import DatasetError
from medtranslate.io.naming import CONTRAST_ENTITIES, SUFFIXES

Kind = Literal["image", "mask", "dseg"]
Part = Literal["train", "val", "test"]

PARTS: tuple[Part, ...] = get_args(Part)
LABEL_SUFFIXES: tuple[Literal["mask", "dseg"], ...] = ("mask", "dseg")
IMAGE_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix not in LABEL_SUFFIXES)

_LABEL_ENTITIES = ("label", "desc")
_SELECTOR = re.compile(r"[A-Za-z0-9]+(?:\+[a-z]+-[A-Za-z0-9.]+)*")


def canonical_suffix(suffix: str) -> str | None:
    """``ct``, ``cbct`` and ``pet``, as BIDS files write them, in capitals; None if unknown."""
    canonical = suffix.upper() if suffix in ("ct", "cbct", "pet") else suffix
    return canonical if canonical in SUFFIXES else None


def contrast_of(suffix: str, entities: Mapping[str, str]) -> str:
    """The shortest selector that picks a scan, such as ``T1w+ce-gadolinium``."""
    keys = CONTRAST_ENTITIES + (_LABEL_ENTITIES if suffix in LABEL_SUFFIXES else ())
    return "+".join([suffix, *(f"{key}-{entities[key]}" for key in keys if key in entities)])


@dataclass(frozen=True)
class Selector:
    """Picks scans by suffix and entities: ``suffix[+key-value]*``.

    ``ce``, ``acq`` and ``rec`` are exact: ``T1w`` never picks the ``ce-gadolinium`` one. Other
    entities count only where the selector names them.

    Attributes:
        suffix: One of the suffixes understood, canonical.
        entities: Key and value pairs, in the order given.

    Example:
        >>> Selector.parse("T1w").picks("T1w", {"ce": "gadolinium"})
        False
        >>> Selector.parse("T1w").picks("T1w", {"desc": "brain"})
        True
    """

    suffix: str
    entities: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Read a selector such as ``T1w+ce-gadolinium``.

        Raises:
            DatasetError: If the text has another form or starts with an unknown suffix.
        """
        if not _SELECTOR.fullmatch(text):
            raise DatasetError(
                f"'{text}' is not a contrast selector; write a suffix and, where needed, entities, "
                "as in T1w or T1w+ce-gadolinium+run-1"
            )
        head, *rest = text.split("+")
        suffix = canonical_suffix(head)
        if suffix is None:
            lower = {name.lower(): name for name in SUFFIXES}
            close = difflib.get_close_matches(head.lower(), lower, n=1, cutoff=0.5)
            hint = f"; did you mean '{lower[close[0]]}'?" if close else ""
            raise DatasetError(
                f"'{head}' is not a contrast that is understood{hint} "
                f"(known: {', '.join(SUFFIXES)})"
            )
        pairs = [part.partition("-")[::2] for part in rest]
        return cls(suffix, tuple((key, value) for key, value in pairs))

    def picks(self, suffix: str, entities: Mapping[str, str]) -> bool:
        """Whether a scan with this suffix and these entities is meant."""
        wanted = dict(self.entities)
        keys = {*CONTRAST_ENTITIES, *wanted}
        return suffix == self.suffix and all(entities.get(key) == wanted.get(key) for key in keys)

    def __str__(self) -> str:
        return "+".join([self.suffix, *(f"{key}-{value}" for key, value in self.entities)])


@dataclass(frozen=True)
class Scan:
    """One file of a dataset.

    Attributes:
        dataset: Name of the dataset.
        subject: Unique key ``dataset/subject``, the subject without ``sub-``.
        session: Visit without ``ses-``; None if the dataset has no visits, or the file is of all.
        contrast: The shortest selector that picks it, such as ``T1w+ce-gadolinium``.
        suffix: What it shows: ``T1w``, ``CT``, ``mask``, ...
        entities: Every other entity of its name, such as ``{"desc": "brain"}``.
        path: Where it lies.
        days: Days since the subject's first visit; None if the dataset does not say.
        kind: An image, a mask of 0 and 1, or a segmentation of several labels.
    """

    dataset: str
    subject: str
    session: str | None
    contrast: str
    suffix: str
    entities: Mapping[str, str]
    path: Path
    days: float | None = None
    kind: Kind = "image"


@dataclass(frozen=True)
class TransformFile:
    """A registration that comes with a dataset: resamples contrast ``moving`` onto ``fixed``."""

    subject: str
    session: str | None
    moving: str
    fixed: str
    path: Path


@dataclass(frozen=True)
class DatasetIndex:
    """What a dataset holds.

    Attributes:
        name: Name of the dataset, the first half of every subject key.
        root: Its folder, or the CSV file that describes it.
        scans: Every scan, sorted by subject, visit and path.
        participants: What is known of each subject, by subject key.
        sessions: What is known of each visit, by subject key and session.
        transforms: Registrations that come with it.
        problems: What was left out and why, one sentence each.
    """

    name: str
    root: Path
    scans: tuple[Scan, ...]
    participants: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sessions: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    transforms: tuple[TransformFile, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """Keys of everyone who has an image, sorted."""
        return tuple(sorted({scan.subject for scan in self.scans if scan.kind == "image"}))

    @property
    def contrasts(self) -> tuple[str, ...]:
        """Contrasts of the images, in the order of the suffix list, plain ones first."""
        found = {(scan.suffix, scan.contrast) for scan in self.scans if scan.kind == "image"}
        ranked = sorted(found, key=lambda pair: (IMAGE_SUFFIXES.index(pair[0]), pair[1]))
        return tuple(contrast for _, contrast in ranked)


def kind_of(suffix: str) -> Kind:
    """Whether a suffix names an image, a mask or a segmentation."""
    for label in LABEL_SUFFIXES:
        if suffix == label:
            return label
    return "image"


def sort_scans(scans: list[Scan]) -> tuple[Scan, ...]:
    """By subject, visit, then path."""
    return tuple(sorted(scans, key=lambda s: (s.subject, s.session or "", str(s.path))))
