"""Names of scans as BIDS writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from medtranslate.io.suffixes import scan_suffix

ENTITY_ORDER = (
    "sub", "ses", "acq", "ce", "rec", "run", "echo", "part", "chunk", "space", "res", "label",
    "desc",
)  # fmt: skip
"""The entities understood, in the order BIDS puts them."""

CONTRAST_ENTITIES = ("ce", "acq", "rec")
"""The entities that make another contrast of the same suffix, in the order selectors name them."""

SUFFIXES = (
    "T1w", "T2w", "FLAIR", "PDw", "T2starw", "MTS", "CT", "CBCT", "PET", "mask", "dseg"
)  # fmt: skip
"""The suffixes understood, as contrasts name them; files may write ``ct``, ``cbct``, ``pet``."""

_CONTRAST_OF_SUFFIX = {name: name for name in SUFFIXES} | {"ct": "CT", "cbct": "CBCT", "pet": "PET"}
_SUFFIX_OF_CONTRAST = {"CT": "ct", "PET": "pet"}
_KEPT_FROM_SOURCE = ("sub", "ses", "run", "echo", "part", "chunk", "res")


@dataclass(frozen=True)
class BidsName:
    """A file name taken apart.

    Attributes:
        entities: Pairs such as ``("sub", "01")``, in BIDS order, each key once.
        suffix: As the file writes it, for example ``T1w`` or ``ct``.
        extension: With its dot, for example ``.nii.gz``.

    Raises:
        ValueError: If an entity is unknown or repeated, or a label is not alphanumeric.

    Example:
        >>> BidsName((("sub", "01"), ("ce", "gadolinium")), "T1w", ".nii.gz").name
        'sub-01_ce-gadolinium_T1w.nii.gz'
    """

    entities: tuple[tuple[str, str], ...]
    suffix: str
    extension: str

    def __post_init__(self) -> None:
        keys = [key for key, _ in self.entities]
        for key, label in self.entities:
            if key not in ENTITY_ORDER or keys.count(key) > 1:
                raise ValueError(f"entity {key!r} is unknown or repeated; use {ENTITY_ORDER}")
            if not re.fullmatch(r"[A-Za-z0-9]+", label):
                raise ValueError(f"label of {key!r} is {label!r}, expected letters and digits")
        ordered = sorted(self.entities, key=lambda entity: ENTITY_ORDER.index(entity[0]))
        object.__setattr__(self, "entities", tuple(ordered))

    @property
    def name(self) -> str:
        """The file name."""
        parts = [f"{key}-{label}" for key, label in self.entities]
        return "_".join([*parts, self.suffix]) + self.extension

    @property
    def contrast(self) -> str:
        """Selector of this contrast, for example ``"T1w"`` or ``"T1w+ce-gadolinium"``."""
        parts = [f"{key}-{self.get(key)}" for key in CONTRAST_ENTITIES if self.get(key)]
        return "+".join([_CONTRAST_OF_SUFFIX.get(self.suffix, self.suffix), *parts])

    def get(self, key: str) -> str | None:
        """The label of an entity, or None."""
        return dict(self.entities).get(key)

    def with_entities(
        self, *, suffix: str | None = None, extension: str | None = None, **labels: str | None
    ) -> BidsName:
        """A copy with entities set, or removed where the label is None."""
        merged: Mapping[str, str | None] = dict(self.entities) | labels
        return replace(
            self,
            entities=tuple((key, label) for key, label in merged.items() if label is not None),
            suffix=self.suffix if suffix is None else suffix,
            extension=self.extension if extension is None else extension,
        )


def parse_bids_name(filename: str | Path) -> BidsName | None:
    """Take a file name apart; None if it is not a BIDS name understood here.

    Example:
        >>> parse_bids_name("sub-01_ses-2_acq-MTon_MTS.nii.gz").contrast
        'MTS+acq-MTon'
        >>> parse_bids_name("t1_final.nii.gz") is None
        True
    """
    name = Path(filename).name
    extension = scan_suffix(name) or Path(name).suffix
    *pairs, suffix = name[: len(name) - len(extension)].split("_")
    if suffix not in _CONTRAST_OF_SUFFIX or not extension:
        return None
    entities = [tuple(pair.split("-", 1)) for pair in pairs]
    if not entities or entities[0][0] != "sub" or any(len(entity) != 2 for entity in entities):
        return None
    try:
        return BidsName(tuple((key, label) for key, label in entities), suffix, extension)
    except ValueError:
        return None


def prediction_name(
    source_path: str | Path,
    target_contrast: str,
    *,
    subject: str = "unnamed",
    session: str | None = None,
    desc: str = "synthetic",
) -> str:
    """The BIDS-derivatives name of a scan made from ``source_path``.

    Subject, session, run and parts come from the source, the suffix and its ``ce``, ``acq``,
    ``rec`` from the target's selector. ``space`` is the source's own where its name has one, else
    the source's contrast, because that is the grid the prediction lies on.

    Args:
        source_path: The source scan; nothing of a name that is not a BIDS name is taken over.
        target_contrast: Selector such as ``"T2w"`` or ``"T1w+ce-gadolinium"``.
        subject: Label of the person for a source without a BIDS name, letters and digits.
        session: Likewise of the visit.
        desc: Label of the ``desc`` entity.

    Raises:
        ValueError: If the selector is not a suffix followed by ``+key-label`` parts.

    Example:
        >>> prediction_name("sub-01_ses-2_T1w.nii.gz", "T2w")
        'sub-01_ses-2_space-T1w_desc-synthetic_T2w.nii.gz'
        >>> prediction_name("Jane Doe.nii.gz", "CT", subject="p7")
        'sub-p7_space-orig_desc-synthetic_ct.nii.gz'
    """
    suffix, *selected = target_contrast.split("+")
    pairs = [part.partition("-") for part in selected]
    if not re.fullmatch(r"[A-Za-z0-9]+", suffix) or not all(pair[2] for pair in pairs):
        raise ValueError(
            f"contrast {target_contrast!r}: expected a suffix and +key-label parts, "
            "as in T1w+ce-gadolinium"
        )
    source = parse_bids_name(source_path)
    if source is None:
        kept = {"sub": subject, "space": "orig"} | ({"ses": session} if session else {})
    else:
        kept = _entities_of_source(source)
    target = {key: label for key, _, label in pairs if key in CONTRAST_ENTITIES}
    return BidsName(
        tuple({**kept, **target, "desc": desc}.items()),
        _SUFFIX_OF_CONTRAST.get(suffix, suffix),
        ".nii.gz",
    ).name


def _entities_of_source(source: BidsName) -> dict[str, str]:
    """What a prediction takes over from the name of its source."""
    kept = {key: label for key, label in source.entities if key in _KEPT_FROM_SOURCE}
    # The values of ce, acq and rec keep predictions from two such sources apart.
    contrast = [source.suffix, *(source.get(key) or "" for key in CONTRAST_ENTITIES)]
    return kept | {"space": source.get("space") or "".join(contrast)}
