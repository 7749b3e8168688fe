"""Labels for people and scans whose names may say who they are.

BIDS labels and the subjects of a table are taken to be pseudonyms, which BIDS demands of them. Any
other name of a file may hold a person's name, so nothing of it is passed on: the label comes from
the file's content, out of which no name can be guessed.
"""

from __future__ import annotations

import re
from pathlib import Path

from medtranslate.data.cases import Case
from medtranslate.errors import MedTranslateError
from medtranslate.io import parse_bids_name, scan_suffix
from medtranslate.io.content import hash_content
from medtranslate.provenance import hash_bytes

_DIGITS = 10


def pseudonym(path: Path) -> str:
    """A label that only the content of a scan decides, such as ``x1f0c77d2a9``.

    A scan that cannot be read has one too, from its path; nothing is ever written under it.
    """
    try:
        digits = hash_content(path)
    except (MedTranslateError, OSError):
        digits = hash_bytes(str(path).encode(errors="surrogateescape"))
    return f"x{digits[:_DIGITS]}"


def label_of(text: str, path: Path) -> str:
    """``text`` where it is a label (letters and digits), else the pseudonym of the scan."""
    return text if re.fullmatch(r"[A-Za-z0-9]+", text) else pseudonym(path)


def name_scan(path: Path) -> str:
    """What to call a single scan: its BIDS name without the ending, else its pseudonym."""
    if parse_bids_name(path) is None:
        return pseudonym(path)
    return path.name[: len(path.name) - len(scan_suffix(path) or "")]


def name_source(case: Case) -> str:
    """What a prediction's sidecar calls its source: a BIDS URI or name, else the case's name."""
    if case.uri is not None:
        return case.uri
    return case.name if parse_bids_name(case.source) is None else case.source.name


def hide_path(text: str, path: Path, *, called: str) -> str:
    """``text`` without the place and name of a file, which may say who it is of.

    Example:
        >>> hide_path("/data/smith/t1.nii: empty", Path("/data/smith/t1.nii"), called="x1")
        'x1: empty'
    """
    return text.replace(str(path), called).replace(path.name, called)
