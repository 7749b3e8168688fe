"""The guard against leakage: nobody, under whatever name, may train and test."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from medtranslate.data.split import OfSubject, Split, check_people
from medtranslate.errors import DatasetError
from medtranslate.io import read_header, read_volume
from medtranslate.provenance import hash_bytes

_LOGGER = logging.getLogger(__name__)


class Scanned(OfSubject, Protocol):
    """A case, or a pair of visits, with the scans that may not stand on both sides of a split."""

    @property
    def images(self) -> tuple[Path, ...]:
        """Every scan of it."""


def guard_split(split: Split, cases: Sequence[Scanned]) -> None:
    """Refuse a split that would let a method be tested on what it was trained on.

    Every scan of a case is read once, unless no other person has a scan with the same number
    of voxels.

    Raises:
        DatasetError: If the split names unknown people or leaves somebody out, the visits of a
            person fall apart, or two people have scans with equal voxels.
        VolumeReadError: If a scan cannot be read.
    """
    check_people(split, cases)
    owners: dict[Path, str] = {}
    for case in cases:
        for path in case.images:
            place = path.resolve()
            if owners.setdefault(place, case.subject) != case.subject:
                raise DatasetError(_describe_twins(owners[place], path, case.subject, path))
    twins = find_twins(owners)
    if twins:
        raise DatasetError(
            "\n".join(_describe_twins(owners[one], one, owners[two], two) for one, two in twins)
        )


def _describe_twins(subject: str, path: Path, other_subject: str, other: Path) -> str:
    return (
        f"{subject} and {other_subject} have the same scan ({path.name} and {other.name} hold "
        "equal voxels): one person under two names would be trained and tested on. Remove one, or "
        "give both the same subject"
    )


def find_twins(owners: dict[Path, str]) -> list[tuple[Path, Path]]:
    """Pairs of files with equal voxels under two subjects.

    Args:
        owners: File to subject key.

    Returns:
        Each file that repeats an earlier one of another subject, after that one.
    """
    by_size: dict[int, list[Path]] = {}
    for path in sorted(owners):
        by_size.setdefault(int(np.prod(read_header(path).geometry.shape)), []).append(path)
    twins: list[tuple[Path, Path]] = []
    for paths in by_size.values():
        if len({owners[path] for path in paths}) < 2:
            continue
        _LOGGER.info("comparing the voxels of %d scans across people", len(paths))
        seen: dict[str, Path] = {}
        for path in paths:
            first = seen.setdefault(hash_voxels(read_volume(path).voxels), path)
            if owners[first] != owners[path]:
                twins.append((first, path))
    return twins


def sort_voxels(voxels: np.ndarray) -> np.ndarray:
    """All voxel values in ascending order, float32.

    A scan and its copy have equal sorted values, whether the copy was compressed again, flipped,
    stored in another axis order or given another header; two scans never do by chance.
    """
    # Adding 0.0 turns -0.0, which is equal but has other bytes, into 0.0.
    values: np.ndarray = np.sort(voxels.astype("<f4"), axis=None) + np.float32(0.0)
    return values


def hash_voxels(voxels: np.ndarray) -> str:
    """sha256 over the sorted voxel values."""
    return hash_bytes(sort_voxels(voxels).tobytes())
