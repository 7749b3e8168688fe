"""Read what simulate wrote, which may have been changed or made by somebody else since."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medtranslate.data.durations import parse_durations
from medtranslate.errors import ConfigError, DatasetError, GeometryError
from medtranslate.io import read_volume
from medtranslate.io.documents import read_document
from medtranslate.volume import Volume
from medtranslate.workflows.simulate import SIMULATION_FILE

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, eq=False)
class SimulatedRegion:
    """A region today and later.

    Attributes:
        record: The whole of ``simulation.json``.
        today: The region, voxels above 0.
        chances: Time to the chance of each voxel to belong to the region then; on today's grid.
    """

    record: Mapping[str, Any]
    today: Volume
    chances: Mapping[str, np.ndarray]

    @property
    def source(self) -> str:
        """The first scan that it was simulated from."""
        return str(self.record["Sources"][0])


def read_simulated_region(folder: Path) -> SimulatedRegion:
    """Read the region that was followed, all of it before anything is made of it.

    Raises:
        DatasetError: If ``folder`` holds no simulation, a damaged one, or one without a region.
        GeometryError: If regions lie on different grids.
        VolumeReadError: If a region cannot be read.
    """
    record = _read_record(folder)
    today = read_volume(folder / "today" / "region.nii.gz")
    chances = {time: _read_chance(folder, time, today) for time in record["Times"]}
    gone = [time for time, chance in chances.items() if not chance.any()]
    if gone:
        raise DatasetError(
            f"{folder}: the region is gone at {', '.join(gone)}, so there is nothing to cover;"
            " simulate other times"
        )
    return SimulatedRegion(record, today, chances)


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = read_document(folder / SIMULATION_FILE)
        _check_record(record)
    except (OSError, ValueError, ConfigError) as error:
        raise DatasetError(
            f"{folder}: holds no simulation ({SIMULATION_FILE} is absent or damaged); give the"
            " folder that 'medtranslate simulate ... --out DIR' wrote"
        ) from error
    if record.get("Region") is None:
        raise DatasetError(
            f"{folder}: no region was followed, so there is nothing to plan around; simulate again"
            " with --region MASK"
        )
    return record


def _check_record(record: Mapping[str, Any]) -> None:
    """Times become names of folders, so they must be times and nothing else."""
    times = record.get("Times")
    if not isinstance(times, dict) or not times:
        raise ValueError("holds no times")
    for text in times:
        if [span.text for span in parse_durations(text)] != [text]:
            raise ValueError("holds a time of another form")
    for key in ("Sources", "Warnings"):
        found = record.get(key)
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise ValueError(f"{key} is no list of texts")
    named = isinstance(record.get("Pipeline"), str) and record["Sources"]
    if not named or not _SHA256.fullmatch(str(record.get("ModelSha256"))):
        raise ValueError("does not say what it was made from")


def _read_chance(folder: Path, time: str, today: Volume) -> np.ndarray:
    path = folder / time / "region.nii.gz"
    volume = read_volume(path)
    if not volume.geometry.matches(today.geometry):
        raise GeometryError(
            f"{path}: lies on another grid than today's region ({volume.geometry.describe()};"
            f" today {today.geometry.describe()}). Simulate again"
        )
    chance = volume.voxels
    if chance.min() < 0 or chance.max() > 1:
        raise DatasetError(f"{path}: holds values outside 0 to 1, no chances. Simulate again")
    return chance
