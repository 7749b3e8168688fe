"""Simulate: a progression model and today's scan in, what it may look like at later times out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medtranslate import __version__
from medtranslate.data.covariates import Covariates
from medtranslate.data.durations import Duration
from medtranslate.data.pseudonyms import name_scan
from medtranslate.data.scans import Selector
from medtranslate.errors import DatasetError, GeometryError
from medtranslate.io import parse_bids_name, read_volume, write_volume
from medtranslate.io.atomic import write_json, write_text
from medtranslate.io.content import hash_content
from medtranslate.io.vectors import write_vector_field
from medtranslate.manifest import load_signing_key, sign_outputs
from medtranslate.metrics.regions import measure_ml
from medtranslate.preprocess.native import native_mask
from medtranslate.preprocess.native_motion import carry_image
from medtranslate.preprocess.preparation import Prepared
from medtranslate.provenance import describe_run, git_commit, hash_json, software_versions
from medtranslate.report.tables import Cell, format_csv
from medtranslate.report.trajectory import Frame, render_trajectory
from medtranslate.volume import Volume
from medtranslate.workflows.forecaster import (
    AnyForesight,
    Forecaster,
    load_forecaster,
)
from medtranslate.workflows.history import PastScan, follow_past, see_past
from medtranslate.workflows.marking import describe_mark
from medtranslate.workflows.outputs import PROJECT
from medtranslate.workflows.progress import NoProgress, Progress

SIMULATION_FILE = "simulation.json"
"""What was simulated; ``plan`` reads it."""

NOTE = "SIMULATION - research use only - not a prediction for this person"

TRAJECTORY_COLUMNS = (
    "time", "years", "region", "volume_ml", "change_percent", "low", "high", "extrapolation"
)  # fmt: skip

_DESCRIPTION = f"SYNTHETIC medtranslate {__version__} - simulated future - research use only"
_INTERVAL = (5.0, 95.0)


@dataclass(frozen=True)
class Simulation:
    """What :func:`simulate` wrote.

    Attributes:
        folder: Where it lies.
        rows: The trajectory table.
        warnings: What to know before trusting it.
    """

    folder: Path
    rows: tuple[Mapping[str, Cell], ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Today:
    """What is known of a person today.

    Attributes:
        scan: The baseline.
        region: Mask or segmentation on the baseline's grid; the whole patient is followed if None.
        region_values: Values of ``region`` that are followed; every one above 0 if empty.
        covariates: What is known beside scans; what is left out is missing.
        history: Scans from before the baseline.
    """

    scan: Path
    region: Path | None = None
    region_values: tuple[int, ...] = ()
    covariates: Covariates = field(default_factory=dict)
    history: Sequence[PastScan] = ()


@dataclass(frozen=True)
class FutureChoices:
    """What is simulated.

    Attributes:
        times: How far ahead.
        samples: Futures drawn for the spread; 0 for none.
        seed: Seed of the noise they are drawn by.
    """

    times: tuple[Duration, ...]
    samples: int = 20
    seed: int = 0


@dataclass(frozen=True, eq=False)
class _Baseline:
    today: Volume
    prepared: Prepared
    region: np.ndarray
    region_name: str
    foresight: AnyForesight
    observed_speed: float | None

    @property
    def speed(self) -> float:
        """Relative to what is foreseen."""
        return 1.0 if self.observed_speed is None else self.observed_speed


def simulate(
    model: Path,
    baseline: Path,
    times: Sequence[Duration],
    out: Path,
    *,
    region: Path | None = None,
    covariates: Covariates | None = None,
    history: Sequence[PastScan] = (),
    samples: int = 20,
    seed: int = 0,
    progress: Progress | None = None,
) -> Simulation:
    """Simulate what today's scan may look like at each time.

    Args:
        model: Run folder or its ``model/``.
        baseline: Today's scan.
        times: How far ahead.
        out: Folder to make; must be absent or empty.
        region: Mask on the baseline's grid that is followed; the whole patient if None.
        covariates: What is known of the person; what is left out is missing.
        history: Scans from before the baseline; every future starts from the velocity that was
            observed since, or from the speed where a region grows.
        samples: Futures drawn for the spread; 0 for none.
        seed: Seed of the noise they are drawn by.
        progress: Told how far things are.

    Raises:
        CheckpointError: If the model cannot be used.
        ConfigError: If it is of another task, or a covariate is unknown.
        DatasetError: If the baseline is of another contrast, or ``out`` holds anything.
        GeometryError: If the region lies on another grid.
    """
    forecaster = load_forecaster(model)
    _check_contrast(forecaster, baseline)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"--out {out}: is not an empty folder; give the name of a new one")
    key = load_signing_key()
    today = Today(baseline, region, covariates=covariates or {}, history=history)
    choices = FutureChoices(tuple(times), samples, seed)
    simulation = write_futures(forecaster, today, choices, out, progress=progress or NoProgress())
    inputs = {"baseline": baseline} | ({} if region is None else {"region": region})
    inputs |= {f"history {n}": past.path for n, past in enumerate(history, start=1)}
    record = describe_run(
        "medtranslate simulate",
        model_sha256=forecaster.model.sha256,
        pipeline=forecaster.pipeline.name,
        inputs={role: hash_content(path) for role, path in inputs.items()},
    )
    sign_outputs(out, since={}, record=record, key=key)
    return simulation


def write_futures(
    forecaster: Forecaster,
    today: Today,
    choices: FutureChoices,
    out: Path,
    *,
    progress: Progress,
) -> Simulation:
    """Simulate one person and write all of it but the manifest; see :func:`simulate`.

    Args:
        forecaster: The model.
        today: The person.
        choices: What is simulated.
        out: Folder to fill.
        progress: Told how far things are.

    Raises:
        ConfigError: If a covariate is unknown, or the model needs a region.
        DatasetError: If the region is empty.
        GeometryError: If it lies on another grid.
    """
    times = choices.times
    start = _prepare(forecaster, today)
    warnings = forecaster.warnings(start.prepared)
    far = [span.text for span in times if forecaster.is_extrapolation(span.years)]
    if far:
        warnings.append(
            f"{', '.join(far)}: far beyond the longest interval in training"
            f" ({forecaster.longest_years:.2g} years); marked as extrapolation"
        )
    shared = _describe(forecaster, today, choices, start)
    shared |= _describe_history(today.history, start.observed_speed)
    speeds = start.speed * forecaster.speeds.draw(choices.samples, seed=choices.seed)
    rows, frames = [], [_frame(start.today.voxels, start, "today", 0.0)]
    progress.stage("simulate", len(times))
    for number, span in enumerate(times):
        progress.update(number, span.text)
        row, scan = _write_time(forecaster, start, span, speeds, out, shared)
        rows.append(row)
        frames.append(_frame(scan, start, span.text, span.years))
    region = Volume(start.region.astype(np.uint8)[None], start.today.geometry, None, "label")
    write_volume(
        out / "today" / "region.nii.gz",
        region,
        sidecar=shared,
        description=_DESCRIPTION,
        mark=_describe_mark(forecaster),
    )
    volume = measure_ml(start.region, start.today.geometry)
    first = _row(forecaster, start, Duration("today", 0.0), [volume])
    table = [first, *rows]
    write_text(out / "trajectory.csv", format_csv(TRAJECTORY_COLUMNS, table))
    page = render_trajectory(
        table,
        frames,
        title=name_scan(today.scan),
        note=NOTE,
        warnings=warnings,
        aspect=_aspect(start),
    )
    write_text(out / "simulation.html", page)
    write_json(
        out / SIMULATION_FILE,
        {**shared, "Times": {s.text: s.years for s in times}, "Warnings": warnings},
    )
    progress.update(len(times))
    return Simulation(out, tuple(table), tuple(warnings))


def _check_contrast(forecaster: Forecaster, baseline: Path) -> None:
    name = parse_bids_name(baseline)
    wanted = Selector.parse(forecaster.pipeline.source)
    if name is None:
        return
    entities = {key: value for key, value in name.entities if key not in ("sub", "ses")}
    if not wanted.picks(name.suffix, entities):
        raise DatasetError(
            f"{baseline.name}: is not the contrast '{wanted}' that the model was trained on; give a"
            " scan of that contrast, or rename the file if its name is wrong"
        )


def _prepare(forecaster: Forecaster, today: Today) -> _Baseline:
    scan = read_volume(today.scan)
    values = today.region_values
    given = None if today.region is None else _read_region(today.region, scan, values=values)
    prepared = forecaster.prepare_baseline(
        today.scan, today.region, region_values=values, name=name_scan(today.scan)
    )
    inside = native_mask(prepared) if given is None else given
    foresight, speed = forecaster.look_ahead(prepared, today.covariates), None
    if today.history:
        seen = see_past(
            today.history,
            settings=forecaster.pipeline.preprocess,
            baseline=today.scan,
            name=name_scan(today.scan),
        )
        foresight, speed = follow_past(foresight, seen)
    name = "patient" if today.region is None else "region"
    return _Baseline(scan, prepared, inside, name, foresight, speed)


def _read_region(path: Path, scan: Volume, *, values: tuple[int, ...]) -> np.ndarray:
    """Where the region is, on the baseline's grid."""
    mask = read_volume(path)
    if not mask.geometry.matches(scan.geometry):
        raise GeometryError(
            f"--region {path.name}: lies on another grid than the baseline (region "
            f"{mask.geometry.describe()}; baseline {scan.geometry.describe()}). Resample it"
        )
    inside = np.isin(mask.voxels, values) if values else mask.voxels > 0
    if not inside.any():
        wanted = f"of {', '.join(map(str, values))}" if values else "above 0"
        raise DatasetError(f"--region {path.name}: holds no voxel {wanted}")
    return inside


def _describe_history(history: Sequence[PastScan], speed: float | None) -> dict[str, Any]:
    """What the sidecars say of past scans and what was seen in them; nothing without any."""
    if not history:
        return {}
    told: dict[str, Any] = {
        "History": [
            {"Scan": name_scan(past.path), "YearsBefore": past.years_before} for past in history
        ],
        "Observed": "velocity" if speed is None else "speed",
    }
    return told if speed is None else told | {"ObservedSpeed": speed}


def _write_time(
    forecaster: Forecaster,
    start: _Baseline,
    span: Duration,
    speeds: np.ndarray,
    out: Path,
    shared: Mapping[str, Any],
) -> tuple[dict[str, Cell], np.ndarray]:
    """Write everything of one time; its row of the table and its scan."""
    central = forecaster.develop(
        start.foresight,
        start.prepared,
        start.today,
        start.region,
        years=span.years,
        speed=start.speed,
    )
    chance, drawn = central.region, np.array([])
    if span.years and speeds.size:
        futures = forecaster.draw(
            start.foresight,
            start.prepared,
            start.today.geometry,
            start.region,
            years=span.years,
            speeds=speeds,
        )
        chance, drawn = futures.chance, futures.volumes_ml
    stretch = start.foresight.stretch_at(span.years * start.speed)[0, 0].numpy() - np.float32(1)
    geometry, folder = start.today.geometry, out / span.text
    sidecar = {
        **shared,
        "Time": span.text,
        "Years": span.years,
        "Extrapolation": forecaster.is_extrapolation(span.years),
    }
    scan = replace(start.today, array=central.scan[None])
    mark = _describe_mark(forecaster)
    write = partial(write_volume, description=_DESCRIPTION, mark=mark)
    write(folder / "scan.nii.gz", scan, sidecar=sidecar)
    pulls = "mm, RAS+; a point x of the simulated scan comes from x + field(x) of the baseline"
    write_vector_field(
        folder / "deformation.nii.gz",
        central.field_mm,
        geometry,
        sidecar={**sidecar, "Convention": pulls},
        description=_DESCRIPTION,
        mark=mark,
    )
    jacobian = 1 + carry_image(stretch, start.prepared.grid, geometry)
    says = "volume of the baseline's tissue at this time over that today; above 1 it grows"
    write(
        folder / "jacobian.nii.gz",
        Volume(jacobian[None], geometry),
        sidecar={**sidecar, "Convention": says},
    )
    write(
        folder / "region.nii.gz",
        Volume(chance[None], geometry),
        sidecar={**sidecar, "Content": "probability of the region"},
    )
    volumes = [measure_ml(central.region, geometry), *drawn.tolist()]
    return _row(forecaster, start, span, volumes), central.scan


def _row(
    forecaster: Forecaster, start: _Baseline, span: Duration, volumes: Sequence[float]
) -> dict[str, Cell]:
    """The central volume and the interval of the drawn ones."""
    today = measure_ml(start.region, start.today.geometry)
    low, high = np.percentile(volumes[1:] or volumes, _INTERVAL)
    far = forecaster.is_extrapolation(span.years)
    return {
        "time": span.text,
        "years": round(span.years, 6),
        "region": start.region_name,
        "volume_ml": round(volumes[0], 4),
        "change_percent": round(100 * (volumes[0] / today - 1), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "extrapolation": "true" if far else "false",
    }


def _describe(
    forecaster: Forecaster, today: Today, choices: FutureChoices, start: _Baseline
) -> dict[str, Any]:
    """What every sidecar of the simulation says."""
    pipeline = forecaster.pipeline
    return {
        "Note": NOTE,
        "Synthetic": True,
        "Sources": [name_scan(today.scan)],
        "Region": None if today.region is None else name_scan(today.region),
        "Covariates": dict(today.covariates),
        "Samples": choices.samples,
        "Seed": choices.seed,
        "Speeds": forecaster.speeds.to_json(),
        "LongestTrainingIntervalYears": forecaster.longest_years,
        "ModelSha256": forecaster.model.sha256,
        "SourceSha256": start.prepared.inputs["source"],
        "Pipeline": pipeline.name,
        "PipelineSha256": hash_json(pipeline.model_dump(mode="json")),
        "GeneratedBy": [{"Name": PROJECT, "Version": __version__, "Commit": git_commit()}],
        "Versions": software_versions(),
    }


def _describe_mark(forecaster: Forecaster) -> dict[str, Any]:
    return describe_mark(model_sha256=forecaster.model.sha256, pipeline=forecaster.pipeline.name)


def _frame(scan: np.ndarray, start: _Baseline, title: str, years: float) -> Frame:
    """The fullest axial slice of the region, seen as radiologists look at it."""
    axis = next(n for n, letter in enumerate(start.today.geometry.orientation) if letter in "IS")
    counts = start.region.sum(axis=tuple(n for n in range(3) if n != axis))
    plane = np.moveaxis(scan, axis, 0)[int(counts.argmax())]
    rest = [letter for letter in start.today.geometry.orientation if letter not in "IS"]
    plane = plane.T if rest[0] in "LR" else plane
    across, down = (rest[0], rest[1]) if rest[0] in "LR" else (rest[1], rest[0])
    plane = plane[::-1] if down == "A" else plane
    return Frame(title, years, np.ascontiguousarray(plane[:, ::-1] if across == "R" else plane))


def _aspect(start: _Baseline) -> float:
    """Height of a shown pixel over its width."""
    sizes = dict(zip(start.today.geometry.orientation, start.today.geometry.spacing, strict=True))
    across = next(size for letter, size in sizes.items() if letter in "LR")
    return next(size for letter, size in sizes.items() if letter in "PA") / across
