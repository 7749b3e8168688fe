"""Regions of a case from its masks and segmentations on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medtranslate.data.table import read_table
from medtranslate.geometry import Geometry
from medtranslate.io import read_header, read_volume, scan_suffix

_DATASET_FILE = "dataset_description.json"
_LABEL = re.compile(r"[0-9]{1,9}")


class LabelRegions(Mapping[str, np.ndarray]):
    """Region name to boolean array, made when asked for: a segmentation may hold a hundred.

    Args:
        parts: Name to label map ``(i, j, k)`` and the label in it; None stands for any but 0.
    """

    def __init__(self, parts: Mapping[str, tuple[np.ndarray, int | None]]) -> None:
        self._parts = dict(parts)

    def __getitem__(self, name: str) -> np.ndarray:
        """The voxels of a region."""
        voxels, label = self._parts[name]
        region: np.ndarray = voxels != 0 if label is None else voxels == label
        return region

    def __iter__(self) -> Iterator[str]:
        """Names, in the order of the files."""
        return iter(self._parts)

    def __len__(self) -> int:
        """How many regions there are."""
        return len(self._parts)


@dataclass(frozen=True, eq=False)
class Labels:
    """What could be read.

    Attributes:
        regions: Region name to boolean, shape ``(i, j, k)`` in file order.
        left_out: What could not be used and why, one phrase a file.
    """

    regions: LabelRegions
    left_out: tuple[str, ...]


def read_labels(paths: Mapping[str, Path], *, like: Geometry) -> Labels:
    """Read masks and segmentations that lie on the grid of the reference.

    A ``dseg`` gives a region for each label that it holds, named by its table (``dseg.tsv`` with
    the columns ``index`` and ``name``) where there is one; anything else gives one region. Labels
    are never resampled: on another grid they are left out.

    Args:
        paths: Name such as ``mask+label-lesion`` or ``dseg`` to file.
        like: The grid to lie on.

    Raises:
        VolumeReadError: If a file is not a readable volume.
        GeometryError: If a header does not say where its voxels lie.
    """
    parts: dict[str, tuple[np.ndarray, int | None]] = {}
    left_out = []
    for name, path in paths.items():
        if not read_header(path).geometry.matches(like):
            left_out.append(f"{name} lies on another grid than the scored scans")
            continue
        voxels = read_volume(path).voxels
        if (voxels != np.rint(voxels)).any() or (voxels < 0).any():
            left_out.append(f"{name} holds values that are no labels (negative or not whole)")
            continue
        voxels = voxels.astype(np.int32)
        if not _is_segmentation(name):
            parts[name] = (voxels, None)
            continue
        words = _read_names(path)
        for label in map(int, np.unique(voxels[voxels != 0])):
            parts[f"{name}: {words.get(label, label)}"] = (voxels, label)
    return Labels(LabelRegions(parts), tuple(left_out))


def _is_segmentation(name: str) -> bool:
    return name.partition("+")[0] == "dseg"


def _read_names(segmentation: Path) -> dict[int, str]:
    """Label to name."""
    table = find_label_names(segmentation)
    if table is None:
        return {}
    return {
        int(row["index"]): row["name"]
        for _, row in read_table(table)
        if _LABEL.fullmatch(row.get("index", "")) and row.get("name")
    }


def find_label_names(segmentation: Path) -> Path | None:
    """The table that names a segmentation's labels: its own, or one that BIDS lets it inherit."""
    stem = segmentation.name.removesuffix(scan_suffix(segmentation) or "")
    own = segmentation.with_name(f"{stem}.tsv")
    candidates = [own, *(folder / "dseg.tsv" for folder in _folders_of_dataset(segmentation))]
    return next((path for path in candidates if path.is_file()), None)


def _folders_of_dataset(path: Path) -> list[Path]:
    """The folders above a file, up to the one that describes the dataset."""
    folders: list[Path] = []
    for folder in path.parents:
        folders.append(folder)
        if (folder / _DATASET_FILE).is_file():
            return folders
    return folders[:1]
