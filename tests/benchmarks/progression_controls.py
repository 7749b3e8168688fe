"""What a follow-up scores without any model of change, beside what ``validate`` compares with.

    python tests/benchmarks/progression_controls.py pipelines/progression_glioma.yaml DATASET

Today's scan with each slice smoothed by a Gaussian; and, where a region is labelled, the part of
the later one that today's covers once it is grown evenly to the later one's true volume.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from medtranslate.data.cases import Case
from medtranslate.data.index import index_datasets
from medtranslate.io import read_volume
from medtranslate.metrics.change_baselines import resize_region
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoring import score_case
from medtranslate.metrics.statistics import summarise
from medtranslate.pipeline import Pipeline, read_pipeline
from medtranslate.preprocess.native import native_mask, reference_on_source
from medtranslate.preprocess.native_motion import carry_image
from medtranslate.preprocess.preparation import Prepared, prepare
from medtranslate.workflows.cohort import pair_scans

WIDTHS_MM = (0.0, 0.5, 1.0, 2.0)


class Scores(NamedTuple):
    """Of the baseline smoothed by so much, in dB and from -1 to 1."""

    width_mm: float
    psnr: float
    ssim: float


def score_case_blurred(pipeline: Pipeline, case: Case, prepared: Prepared) -> Iterator[Scores]:
    """PSNR and SSIM of a person's follow-up, for each width."""
    scan = read_volume(case.source)
    if case.target is None or prepared.target_scale is None:
        raise SystemExit(f"{case.name}: has no follow-up")
    found = reference_on_source(
        pipeline.preprocess, name=case.name, source=case.source, target=case.target
    )
    gain = np.float32(prepared.target_scale.factor / prepared.source_scale.factor)
    reference = replace(found.volume, array=found.volume.array / gain)
    mask = native_mask(prepared) & found.seen
    for width in WIDTHS_MM:
        sigma = [width / scan.geometry.spacing[0], width / scan.geometry.spacing[1], 0.0]
        blurred = replace(scan, array=ndimage.gaussian_filter(scan.voxels, sigma)[None])
        values = score_case(reference, blurred, mask, protocol=Protocol(scale="shared")).values
        yield Scores(width, values["psnr"], values["ssim"])


def cover_evenly(prepared: Prepared) -> float | None:
    """Part of the later region inside today's, grown evenly to its volume; None without labels."""
    if prepared.label is None or prepared.later is None:
        return None
    today, later = (
        carry_image(np.asarray(image, np.float32)[0], prepared.grid, prepared.native) >= 0.5
        for image in (prepared.label, prepared.later)
    )
    factor = float(later.sum() / today.sum())
    grown = resize_region(today, factor=factor, spacing=prepared.native.spacing)
    return float((grown & later).sum() / later.sum())


def main(pipeline: Pipeline, dataset: Path) -> None:
    scores: list[Scores] = []
    covered: list[float] = []
    for case in pair_scans(pipeline, index_datasets([dataset]))[0]:
        prepared = prepare(
            pipeline.preprocess,
            name=case.name,
            source=case.source,
            target=case.target,
            label=case.label,
            later=case.later,
        )
        found = list(score_case_blurred(pipeline, case, prepared))
        share = cover_evenly(prepared)
        print(case.name, *found, share, sep="\n  ", flush=True)
        scores += found
        covered += [] if share is None else [share]
    for width in WIDTHS_MM:
        psnr = describe([one.psnr for one in scores if one.width_mm == width])
        ssim = describe([one.ssim for one in scores if one.width_mm == width])
        print(f"smoothed by {width} mm: PSNR {psnr} dB, SSIM {ssim}")
    if covered:
        print(f"covered by even growth to the true volume: {describe(covered)}")


def describe(values: Sequence[float]) -> str:
    """Mean over people and its interval."""
    summary = summarise(values)
    low, high = summary.interval or (np.nan, np.nan)
    return f"{summary.mean:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main(read_pipeline(Path(sys.argv[1]), []), Path(sys.argv[2]))
