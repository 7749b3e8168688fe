"""Today's scan, its simulated and its real follow-up in one slice, each with the region's outline.

    python tests/benchmarks/progression_picture.py OUT.png DATASET runs/glioma/DATASET_PERSON ...

A row for each run, of the person whom it held out; by rule the slice where the true later region is
largest.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from medtranslate.data.index import index_datasets
from medtranslate.io import read_volume
from medtranslate.preprocess.native import reference_on_source
from medtranslate.preprocess.native_motion import carry_image
from medtranslate.preprocess.preparation import prepare
from medtranslate.workflows.cohort import pair_scans
from medtranslate.workflows.forecaster import load_forecaster

_TITLES = ("today", "SYNTHETIC", "real follow-up")
_OUTLINE = (255, 110, 0)
_BRIGHTEST_PERCENTILE = 98


def main(out: Path, dataset: Path, *runs: Path) -> None:
    rows = [draw_person(run, dataset) for run in runs]
    picture = Image.fromarray(np.concatenate(rows))
    picture.quantize(32, dither=Image.Dither.NONE).save(out, optimize=True)


def draw_person(run: Path, dataset: Path) -> np.ndarray:
    """Three panels side by side."""
    forecaster = load_forecaster(run)
    settings = forecaster.pipeline.preprocess
    _, pairs = pair_scans(forecaster.pipeline, index_datasets([dataset]))
    pair = next(one for one in pairs.values() if one.subject.replace("/", "_") == run.name)
    prepared = prepare(
        settings,
        name=pair.name,
        source=pair.baseline.scan,
        target=pair.follow_up.scan,
        label=pair.baseline.labels,
        later=pair.follow_up.labels,
    )
    if prepared.label is None or prepared.later is None or prepared.target_scale is None:
        raise SystemExit(f"{pair.name}: a visit has no outline")
    today = read_volume(pair.baseline.scan)
    before, after = (
        carry_image(np.asarray(image, np.float32)[0], prepared.grid, prepared.native) >= 0.5
        for image in (prepared.label, prepared.later)
    )
    future = forecaster.develop(
        forecaster.look_ahead(prepared, pair.covariates), prepared, today, before,
        years=pair.interval_years,
    )  # fmt: skip
    real = reference_on_source(
        settings, name=pair.name, source=pair.baseline.scan, target=pair.follow_up.scan
    ).volume.voxels * (prepared.source_scale.factor / prepared.target_scale.factor)
    k = int(np.argmax(after.sum(axis=(0, 1))))
    brightest = np.percentile(today.voxels[..., k], _BRIGHTEST_PERCENTILE)
    panels = [
        draw(scan[..., k] / brightest, region[..., k], title)
        for scan, region, title in zip(
            (today.voxels, future.scan, real),
            (before, future.region >= 0.5, after),
            _TITLES,
            strict=True,
        )
    ]
    print(f"{pair.subject}: slice {k}")
    return np.concatenate(panels, axis=1)


def draw(plane: np.ndarray, region: np.ndarray, title: str) -> np.ndarray:
    """One panel of a slice whose axes run to the left and to the back, as stored; front up."""
    grey = np.rint(255 * np.clip(plane, 0, 1)).astype(np.uint8)
    colours = np.repeat(grey[..., None], 3, axis=2)
    colours[region & ~ndimage.binary_erosion(region)] = _OUTLINE
    image = Image.fromarray(np.ascontiguousarray(colours.transpose(1, 0, 2)))
    font = ImageFont.load_default(16)
    ImageDraw.Draw(image).text((4, 4), title, fill="white", font=font)
    return np.asarray(image)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
