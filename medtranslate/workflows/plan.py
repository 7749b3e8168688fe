"""Plan: what simulate wrote in, margins around today's region that cover the simulated one out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medtranslate import __version__
from medtranslate.errors import ConfigError, DatasetError, GeometryError
from medtranslate.io import read_volume, write_volume
from medtranslate.io.atomic import write_json, write_text
from medtranslate.manifest import load_signing_key, sign_outputs
from medtranslate.metrics.margins import (
    MarginCurve,
    distance_from,
    distance_within,
    measure_margins,
)
from medtranslate.metrics.regions import measure_ml
from medtranslate.provenance import describe_run
from medtranslate.report.planning import render_plan
from medtranslate.report.tables import Cell, format_csv
from medtranslate.volume import Volume
from medtranslate.workflows.marking import describe_mark
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.simulate import NOTE
from medtranslate.workflows.simulated_folder import read_simulated_region

LEVELS = (0.1, 0.5, 0.9)
"""Probabilities whose region is written."""

PLAN_COLUMNS = ("time", "kind", "coverage", "margin_mm", "covered", "volume_ml")
CURVE_COLUMNS = ("time", "kind", "margin_mm", "covered")

_LARGEST_MARGIN_MM = 2000.0
_DESCRIPTION = f"SYNTHETIC medtranslate {__version__} - simulated plan - research use only"


@dataclass(frozen=True)
class Plan:
    """What :func:`plan` wrote.

    Attributes:
        folder: Where it lies.
        coverage: Share that was to be covered.
        rows: A row for each time and kind of margin; ``margin_mm`` is empty where none suffices.
    """

    folder: Path
    coverage: float
    rows: tuple[Mapping[str, Cell], ...]


def parse_margin(text: str) -> float:
    """Millimetres from ``30mm`` or ``30``.

    Raises:
        ConfigError: If it is something else, not above 0, or longer than a person.

    Example:
        >>> parse_margin("12.5mm")
        12.5
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:mm)?", text.strip())
    if match is None or not 0 < float(match[1]) <= _LARGEST_MARGIN_MM:
        raise ConfigError(
            f"--margin-max {text}: expected millimetres above 0, at most {_LARGEST_MARGIN_MM:g},"
            " as in 30mm"
        )
    return float(match[1])


def plan(
    folder: Path,
    out: Path,
    *,
    coverage: float = 0.9,
    margin_max_mm: float = 30.0,
    barrier: Path | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Find at each time the smallest margin that covers the simulated region.

    Args:
        folder: What ``simulate`` wrote.
        out: Folder to make; must be absent or empty.
        coverage: Share of the later region to cover, 0 to 1.
        margin_max_mm: No margin is larger.
        barrier: Mask of the anatomy that a second kind of margin stays within.
        progress: Told how far things are.

    Raises:
        DatasetError: If ``folder`` holds no sound simulation, or ``out`` holds anything.
        GeometryError: If the anatomy, or a later region, lies on another grid.
    """
    progress = progress or NoProgress()
    simulated = read_simulated_region(folder)
    simulation, today, chances = simulated.record, simulated.today, simulated.chances
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"--out {out}: is not an empty folder; give the name of a new one")
    key = load_signing_key()
    distances = _measure_distances(today, barrier, margin_max_mm)
    mark = describe_mark(model_sha256=simulation["ModelSha256"], pipeline=simulation["Pipeline"])
    sidecar = {"Note": NOTE, "Synthetic": True, "Simulation": simulation, "Coverage": coverage}
    write = partial(_write_mask, like=today, mark=mark)
    rows: list[dict[str, Cell]] = []
    curves: dict[tuple[str, str], MarginCurve] = {}
    progress.stage("plan", len(chances))
    for number, (time, chance) in enumerate(chances.items()):
        progress.update(number, time)
        for level in LEVELS:
            path = out / time / f"region_p{round(100 * level)}.nii.gz"
            write(path, chance >= level, sidecar={**sidecar, "Probability": level})
        for kind, distance in distances.items():
            curve = measure_margins(distance, chance, largest_mm=margin_max_mm)
            curves[time, kind] = curve
            margin = curve.smallest(coverage)
            planned = distance <= (margin_max_mm if margin is None else margin) + 1e-6
            path = out / time / f"margin_{kind}.nii.gz"
            write(path, planned, sidecar={**sidecar, "Margin": margin})
            rows.append(
                {
                    "time": time,
                    "kind": kind,
                    "coverage": coverage,
                    "margin_mm": "" if margin is None else margin,
                    "covered": round(float(chance[planned].sum() / chance.sum()), 6),
                    "volume_ml": round(measure_ml(planned, today.geometry), 4),
                }
            )
    _write_tables(out, rows, curves)
    page = render_plan(
        rows,
        curves,
        coverage=coverage,
        title=simulated.source,
        note=NOTE,
        warnings=simulation["Warnings"],
    )
    write_text(out / "plan.html", page)
    write_json(out / "plan.json", {**sidecar, "Rows": rows})
    record = describe_run("medtranslate plan", model_sha256=simulation["ModelSha256"])
    sign_outputs(out, since={}, record=record, key=key)
    progress.update(len(chances))
    return Plan(out, coverage, tuple(rows))


def _measure_distances(
    today: Volume, barrier: Path | None, largest_mm: float
) -> dict[str, np.ndarray]:
    region, spacing = today.voxels > 0, today.geometry.spacing
    distances = {"isotropic": distance_from(region, spacing)}
    if barrier is not None:
        anatomy = read_volume(barrier)
        if not anatomy.geometry.matches(today.geometry):
            raise GeometryError(
                f"--within {barrier.name}: lies on another grid than the region "
                f"({anatomy.geometry.describe()}; region {today.geometry.describe()}). Resample it"
            )
        distances["within"] = distance_within(
            region, anatomy.voxels > 0, spacing, reach_mm=largest_mm
        )
    return distances


def _write_mask(
    path: Path,
    mask: np.ndarray,
    *,
    like: Volume,
    sidecar: Mapping[str, Any],
    mark: Mapping[str, Any],
) -> None:
    volume = Volume(mask.astype(np.uint8)[None], like.geometry, None, "label")
    write_volume(path, volume, sidecar=sidecar, description=_DESCRIPTION, mark=mark)


def _write_tables(
    out: Path,
    rows: list[dict[str, Cell]],
    curves: Mapping[tuple[str, str], MarginCurve],
) -> None:
    write_text(out / "margins.csv", format_csv(PLAN_COLUMNS, rows))
    points: list[dict[str, Cell]] = [
        {"time": time, "kind": kind, "margin_mm": margin, "covered": round(share, 6)}
        for (time, kind), curve in curves.items()
        for margin, share in zip(curve.margins_mm, curve.covered, strict=True)
    ]
    write_text(out / "margin_coverage.csv", format_csv(CURVE_COLUMNS, points))
