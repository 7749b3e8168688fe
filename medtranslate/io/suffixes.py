"""Which file names are scans."""

from __future__ import annotations

from pathlib import Path

SCAN_SUFFIXES = (
    ".nii.gz",
    ".nii",
    ".hdr",
    ".nrrd",
    ".nhdr",
    ".mha",
    ".mhd",
    ".mgz",
    ".mgh",
)
"""Ends of the names that stand for a scan; of a pair of files, the one with the header."""


def scan_suffix(name: str | Path) -> str | None:
    """The scan suffix ``name`` ends with, as written there; None if it has none.

    Example:
        >>> scan_suffix("sub-01_T1w.nii.gz"), scan_suffix("notes.txt")
        ('.nii.gz', None)
    """
    text = Path(name).name
    for suffix in SCAN_SUFFIXES:
        if text.lower().endswith(suffix):
            return text[-len(suffix) :]
    return None
