"""What today's scan scores as its own follow-up once it is smoothed: a gain without any change.

    python tests/benchmarks/progression_blur.py pipelines/progression_glioma.yaml DATASET

Each slice of the baseline is smoothed by a Gaussian, and scored as ``validate`` scores "no change".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from medtranslate.data.cases import Case
from medtranslate.data.index import index_datasets
from medtranslate.io import read_volume
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoring import score_case
from medtranslate.metrics.statistics import summarise
from medtranslate.pipeline import Pipeline, read_pipeline
from medtranslate.preprocess.native import native_mask, reference_on_source
from medtranslate.preprocess.preparation import prepare
from medtranslate.workflows.cohort import pair_scans

WIDTHS_MM = (0.0, 0.5, 1.0, 2.0)


def score_blurred(pipeline: Pipeline, case: Case) -> Iterator[tuple[float, float, float]]:
    """PSNR and SSIM for each width, of a person's follow-up."""
    if case.target is None:
        raise SystemExit(f"{case.name}: has no follow-up")
    settings, scan = pipeline.preprocess, read_volume(case.source)
    prepared = prepare(settings, name=case.name, source=case.source, target=case.target)
    found = reference_on_source(settings, name=case.name, source=case.source, target=case.target)
    if prepared.target_scale is None:
        raise SystemExit(f"{case.name}: the follow-up has no scale")
    gain = np.float32(prepared.target_scale.factor / prepared.source_scale.factor)
    reference = replace(found.volume, array=found.volume.array / gain)
    mask = native_mask(prepared) & found.seen
    for width in WIDTHS_MM:
        sigma = [width / scan.geometry.spacing[0], width / scan.geometry.spacing[1], 0.0]
        blurred = replace(scan, array=ndimage.gaussian_filter(scan.voxels, sigma)[None])
        values = score_case(reference, blurred, mask, protocol=Protocol(scale="shared")).values
        yield width, values["psnr"], values["ssim"]


def main(pipeline: Pipeline, dataset: Path) -> None:
    scores: dict[float, list[tuple[float, float]]] = {width: [] for width in WIDTHS_MM}
    for case in pair_scans(pipeline, index_datasets([dataset]))[0]:
        for width, psnr, ssim in score_blurred(pipeline, case):
            scores[width].append((psnr, ssim))
            print(f"{case.name}  {width} mm  {psnr:.2f} dB  {ssim:.3f}", flush=True)
    for width, pairs in scores.items():
        psnr, ssim = (describe(values) for values in zip(*pairs, strict=True))
        print(f"{width} mm: PSNR {psnr} dB, SSIM {ssim}")


def describe(values: Sequence[float]) -> str:
    """Mean over people and its interval."""
    summary = summarise(values)
    low, high = summary.interval or (np.nan, np.nan)
    return f"{summary.mean:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main(read_pipeline(Path(sys.argv[1]), []), Path(sys.argv[2]))
