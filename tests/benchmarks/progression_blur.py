"""What today's scan scores as its own follow-up once it is smoothed: a gain without any change.

    python tests/benchmarks/progression_blur.py pipelines/progression_glioma.yaml DATASET

Each slice of the baseline is smoothed by a Gaussian, and scored as ``validate`` scores a model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from medtranslate.data.cases import Case
from medtranslate.data.index import index_datasets
from medtranslate.io import read_volume
from medtranslate.metrics.change import score_change
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoring import score_against
from medtranslate.metrics.statistics import summarise
from medtranslate.metrics.yardstick import Yardstick, make_yardstick
from medtranslate.pipeline import Pipeline, read_pipeline
from medtranslate.preprocess.native import native_mask, reference_on_source
from medtranslate.preprocess.native_motion import carry_image
from medtranslate.preprocess.preparation import Prepared, prepare
from medtranslate.workflows.cohort import pair_scans

WIDTHS_MM = (0.0, 0.5, 1.0, 2.0)


class Scores(NamedTuple):
    """Of the baseline smoothed by so much; NaN where there is nothing to measure."""

    width_mm: float
    psnr: float
    ssim: float
    correlation: float
    psnr_changed: float


def score_blurred(pipeline: Pipeline, case: Case) -> Iterator[Scores]:
    """Scores of a person's follow-up, for each width."""
    prepared = prepare(
        pipeline.preprocess,
        name=case.name,
        source=case.source,
        target=case.target,
        label=case.label,
        later=case.later,
    )
    scan = read_volume(case.source)
    if case.target is None or prepared.target_scale is None:
        raise SystemExit(f"{case.name}: has no follow-up")
    found = reference_on_source(
        pipeline.preprocess, name=case.name, source=case.source, target=case.target
    )
    gain = np.float32(prepared.target_scale.factor / prepared.source_scale.factor)
    reference = replace(found.volume, array=found.volume.array / gain)
    mask = native_mask(prepared) & found.seen
    yardstick = make_yardstick(reference, mask, Protocol(scale="shared"))
    today = yardstick.bring(scan.voxels, scale=None)
    changed = find_changed(prepared, yardstick)
    for width in WIDTHS_MM:
        sigma = [width / scan.geometry.spacing[0], width / scan.geometry.spacing[1], 0.0]
        blurred = yardstick.bring(ndimage.gaussian_filter(scan.voxels, sigma), scale=None)
        values = score_against(yardstick, blurred).values
        change = score_change(today, yardstick.reference, blurred, mask=yardstick.mask)
        error = np.mean((blurred - yardstick.reference)[changed] ** 2) if changed.any() else np.nan
        yield Scores(
            width,
            values["psnr"],
            values["ssim"],
            np.nan if change.correlation is None else change.correlation,
            float(10 * np.log10(yardstick.data_range**2 / error)),
        )


def find_changed(prepared: Prepared, yardstick: Yardstick) -> np.ndarray:
    """The scored voxels that joined or left the region; none without labels."""
    if prepared.label is None or prepared.later is None:
        return np.zeros_like(yardstick.mask)
    today, later = (
        carry_image(np.asarray(image, np.float32)[0], prepared.grid, prepared.native) >= 0.5
        for image in (prepared.label, prepared.later)
    )
    changed: np.ndarray = np.moveaxis(today ^ later, yardstick.voxel_axis, 0) & yardstick.mask
    return changed


def main(pipeline: Pipeline, dataset: Path) -> None:
    scores: list[Scores] = []
    for case in pair_scans(pipeline, index_datasets([dataset]))[0]:
        for found in score_blurred(pipeline, case):
            print(case.name, *(f"{value:.3f}" for value in found), flush=True)
            scores.append(found)
    for width in WIDTHS_MM:
        print(f"smoothed by {width} mm")
        for name in ("psnr", "ssim", "correlation", "psnr_changed"):
            values = [getattr(one, name) for one in scores if one.width_mm == width]
            if np.isfinite(values).all():
                summary = summarise(values)
                print(f"  {name}: {summary.mean:.3f}, {summary.interval}")


if __name__ == "__main__":
    main(read_pipeline(Path(sys.argv[1]), []), Path(sys.argv[2]))
