"""Scores a progression model on the held-out people of a simulated cohort whose truth is known.

For each pair of visits: the change of the region's volume, and the PSNR where the true tissue
changed, of the simulated follow-up and of "no change".

    python tests/benchmarks/progression_holdout.py RUN DATASET
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from medtranslate.data.durations import Duration
from medtranslate.data.visits import VisitPair
from medtranslate.io import read_volume, write_volume
from medtranslate.volume import Volume
from medtranslate.workflows.cohort import assemble_cohort
from medtranslate.workflows.forecaster import load_forecaster
from medtranslate.workflows.simulate import simulate


def score_pair(run: Path, pair: VisitPair, values: tuple[int, ...]) -> tuple[float, ...]:
    """True and simulated change in percent, PSNR of simulation and of no change, in dB."""
    segmented = [
        read_volume(visit.labels)
        for visit in (pair.baseline, pair.follow_up)
        if visit.labels is not None
    ]
    today, later = (np.isin(volume.voxels, values) for volume in segmented)
    with tempfile.TemporaryDirectory() as folder:
        out, mask = Path(folder) / "out", Path(folder) / "mask.nii.gz"
        write_volume(mask, Volume(today[None].astype(np.uint8), segmented[0].geometry))
        simulate(
            run, pair.baseline.scan, [Duration("later", pair.interval_years)], out, region=mask,
            covariates=pair.covariates, samples=0,
        )  # fmt: skip
        simulated = read_volume(out / "later" / "scan.nii.gz").voxels
        region = read_volume(out / "later" / "region.nii.gz").voxels
        stretch = read_volume(out / "later" / "jacobian.nii.gz").voxels
    scan, truth = (read_volume(v.scan).voxels for v in (pair.baseline, pair.follow_up))
    changed = segmented[0].voxels != segmented[1].voxels
    head = ~changed & (segmented[0].voxels > 0) & (scan > 0)
    gain = np.median(truth[head] / scan[head])
    data_range = np.percentile(truth[head], 99.5)

    def psnr(image: np.ndarray) -> float:
        error = np.mean((gain * image - truth)[changed] ** 2)
        return float(10 * np.log10(data_range**2 / error))

    folded = 100 * float(np.mean(stretch <= 0))
    changes = (100 * (float(one.sum()) / today.sum() - 1) for one in (later, region))
    return (*changes, psnr(simulated), psnr(scan), folded)


def main() -> None:
    """Print a row for each held-out pair, and the mean."""
    run, dataset = Path(sys.argv[1]), Path(sys.argv[2])
    pipeline = load_forecaster(run).pipeline
    cohort = assemble_cohort(pipeline, [dataset])
    values = pipeline.preprocess.region_values
    names = [case.name for case in cohort.part("test")]
    rows = [score_pair(run, cohort.pairs[name], values) for name in names]
    print("pair  true_%  simulated_%  psnr  psnr_no_change  folded_%")
    for name, row in zip(names, rows, strict=True):
        print(name, *(f"{value:.3f}" for value in row))
    true, simulated = np.mean([row[0] for row in rows]), np.mean([row[1] for row in rows])
    print(f"mean change: true {true:.3f} %, simulated {simulated:.3f} %")
    print("better than no change:", sum(row[2] > row[3] for row in rows), "of", len(rows))


if __name__ == "__main__":
    main()
