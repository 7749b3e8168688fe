"""Write DICOM objects so that a folder of them is whole or absent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from medtranslate.errors import VolumeWriteError

_PIXELS = ("PixelData", "FloatPixelData")


def write_datasets(folder: Path, datasets: Sequence[Dataset]) -> list[Path]:
    """Write each object to a numbered file, and read each again to see that it is the same.

    Args:
        folder: Is made; call inside :func:`medtranslate.io.atomic.atomic_folder`, so that it
            appears when all of them are there.
        datasets: With their file meta information.

    Raises:
        VolumeWriteError: If what was written reads differently.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.dcm" for number in range(1, len(datasets) + 1)]
    for path, dataset in zip(paths, datasets, strict=True):
        dataset.save_as(path, enforce_file_format=True)
        _compare(path, dataset)
    return paths


def _compare(path: Path, dataset: Dataset) -> None:
    try:
        written = dcmread(path)
    except (InvalidDicomError, OSError, EOFError):
        written = None
    if written is None or any(written.get(one) != dataset.get(one) for one in _PIXELS):
        raise VolumeWriteError(
            f"{path.name}: what was written differs from what was meant; nothing was left under"
            " its name. Check the disk"
        )
