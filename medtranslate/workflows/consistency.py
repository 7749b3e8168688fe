"""Whether a model's futures fit together: two steps against one, and volumes in their order."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from medtranslate.data.covariates import Covariates
from medtranslate.geometry import Geometry
from medtranslate.io import write_volume
from medtranslate.metrics.regions import dice, measure_ml
from medtranslate.metrics.trajectories import composition_error, count_reversals
from medtranslate.preprocess.native import native_mask
from medtranslate.preprocess.preparation import Prepared
from medtranslate.volume import Volume
from medtranslate.workflows.forecaster import AnyForesight, Forecaster, NativeFuture
from medtranslate.workflows.scored_case import Consistency

_QUARTERS = (0.25, 0.5, 0.75)
_NOTICED = 1e-4
"""Share of the region's volume that a step back must exceed: interpolation alone stays below it."""


def measure_consistency(
    forecaster: Forecaster,
    foresight: AnyForesight,
    prepared: Prepared,
    today: Volume,
    region: np.ndarray | None,
    *,
    years: float,
    whole: NativeFuture,
    covariates: Covariates,
) -> Consistency:
    """Simulate half the interval, and the other half from what was simulated.

    Args:
        forecaster: The model.
        foresight: What it says of the baseline.
        prepared: The baseline on the model grid.
        today: The baseline as it lies in the file.
        region: Boolean, its shape; the region today, None without one.
        years: The interval.
        whole: The future after it, simulated in one step.
        covariates: What is known of the person; the second step is told the same.
    """
    start = np.zeros(today.geometry.shape, dtype=bool) if region is None else region
    where = start | (whole.region >= 0.5)
    where = where if where.any() else native_mask(prepared)
    half = forecaster.develop(foresight, prepared, today, start, years=years / 2)
    fields = [_in_voxels(one.field_mm, today.geometry) for one in (half, whole)]
    found = Consistency(
        composition=composition_error(fields[0], fields[0], fields[1], mask=where),
        again=None,
        again_dice=None,
        again_ml=None,
        reversals=_count_reversals(forecaster, foresight, prepared, region, years, whole),
    )
    then = None if region is None else half.region >= 0.5
    if then is not None and not then.any():
        return found
    second = _go_on(forecaster, replace(today, array=half.scan[None]), then, years / 2, covariates)
    onward = _in_voxels(second.field_mm, today.geometry)
    again = composition_error(fields[0], onward, fields[1], mask=where)
    return _compare_regions(replace(found, again=again), second, whole, today.geometry, then)


def _go_on(
    forecaster: Forecaster,
    scan: Volume,
    region: np.ndarray | None,
    years: float,
    covariates: Covariates,
) -> NativeFuture:
    """The future of a simulated scan, through files like that of a real one."""
    with tempfile.TemporaryDirectory() as folder:
        path, mask = Path(folder) / "scan.nii.gz", None
        write_volume(path, scan)
        if region is not None:
            mask = Path(folder) / "region.nii.gz"
            write_volume(mask, Volume(region.astype(np.uint8)[None], scan.geometry, None, "label"))
        prepared = forecaster.prepare_baseline(path, mask, name="simulated")
    followed = np.zeros(scan.geometry.shape, dtype=bool) if region is None else region
    foresight = forecaster.look_ahead(prepared, covariates)
    return forecaster.develop(foresight, prepared, scan, followed, years=years)


def _compare_regions(
    found: Consistency,
    second: NativeFuture,
    whole: NativeFuture,
    geometry: Geometry,
    region: np.ndarray | None,
) -> Consistency:
    """What two steps make of the region against one."""
    if region is None:
        return found
    halves, one = second.region >= 0.5, whole.region >= 0.5
    return replace(
        found,
        again_dice=dice(halves, one) if halves.any() or one.any() else None,
        again_ml=measure_ml(second.region, geometry) - measure_ml(whole.region, geometry),
    )


def _count_reversals(
    forecaster: Forecaster,
    foresight: AnyForesight,
    prepared: Prepared,
    region: np.ndarray | None,
    years: float,
    whole: NativeFuture,
) -> int | None:
    """Quarters of the interval in which the volume runs against its course; None if it may."""
    if region is None or not forecaster.pipeline.is_monotone:
        return None
    geometry = prepared.native
    between = (
        forecaster.follow(foresight, prepared, geometry, region, years=share * years)
        for share in _QUARTERS
    )
    volumes = [measure_ml(one, geometry) for one in (region, *between, whole.region)]
    return count_reversals(
        volumes, rising=volumes[-1] >= volumes[0], tolerance=_NOTICED * volumes[0]
    )


def _in_voxels(field_mm: np.ndarray, geometry: Geometry) -> np.ndarray:
    """A field in millimetres as steps along the axes of its grid."""
    steps: np.ndarray = np.tensordot(
        np.linalg.inv(geometry.affine[:3, :3]), field_mm.astype(np.float64), axes=1
    )
    return steps
