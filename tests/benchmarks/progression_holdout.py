"""Scores a progression model on the held-out people of a simulated cohort whose truth is known.

For each pair of visits: the change of the region's volume, and the PSNR where the true tissue
changed, of the simulated follow-up and of "no change".

    python tests/benchmarks/progression_holdout.py RUN DATASET mask+desc-brain
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from medtranslate.data.durations import Duration
from medtranslate.data.index import index_datasets
from medtranslate.data.visits import VisitPair, VisitSettings, pair_visits
from medtranslate.io import read_volume
from medtranslate.workflows.cohort import assemble_cohort
from medtranslate.workflows.forecaster import load_forecaster
from medtranslate.workflows.simulate import simulate


def score_pair(run: Path, pair: VisitPair, tissues: VisitPair) -> tuple[float, ...]:
    """True and simulated change in percent, PSNR of simulation and of no change, in dB."""
    span = Duration("later", pair.interval_years)
    labels = [visit.labels for visit in (pair.baseline, pair.follow_up)]
    today, later = (read_volume(path).voxels > 0 for path in labels if path is not None)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        simulate(
            run, pair.baseline.scan, [span], out, region=pair.baseline.labels,
            covariates=pair.covariates, samples=0,
        )  # fmt: skip
        simulated = read_volume(out / "later" / "scan.nii.gz").voxels
        region = read_volume(out / "later" / "region.nii.gz").voxels
    scan, truth = (read_volume(v.scan).voxels for v in (pair.baseline, pair.follow_up))
    both = today & later
    gain = np.median(truth[both] / np.maximum(scan[both], 1))
    paths = [visit.labels for visit in (tissues.baseline, tissues.follow_up)]
    one, two = (read_volume(path).voxels for path in paths if path is not None)
    changed = (one != two) & (today | later)
    data_range = np.percentile(truth[later], 99.5)

    def psnr(image: np.ndarray) -> float:
        error = np.mean((gain * image - truth)[changed] ** 2)
        return float(10 * np.log10(data_range**2 / error))

    return (
        100 * (later.sum() / today.sum() - 1),
        100 * (region.sum() / today.sum() - 1),
        psnr(simulated),
        psnr(scan),
    )


def main() -> None:
    """Print a row for each held-out pair, and the mean."""
    run, dataset, labels = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    pipeline = load_forecaster(run).pipeline
    cohort = assemble_cohort(pipeline, [dataset])
    names = [case.name for case in cohort.part("test")]
    settings = pipeline.visits or VisitSettings()
    found = {}
    for selector in (labels, "dseg"):
        chosen = settings.model_copy(update={"labels": selector})
        pairs = pair_visits(index_datasets([dataset]), contrast=pipeline.source, settings=chosen)
        found[selector] = {pair.name: pair for pair in pairs}
    rows = [score_pair(run, found[labels][name], found["dseg"][name]) for name in names]
    print("pair  true_%  simulated_%  psnr  psnr_no_change")
    for name, row in zip(names, rows, strict=True):
        print(name, *(f"{value:.3f}" for value in row))
    true, simulated = np.mean([row[0] for row in rows]), np.mean([row[1] for row in rows])
    print(f"mean change: true {true:.3f} %, simulated {simulated:.3f} %")
    print("better than no change:", sum(row[2] > row[3] for row in rows), "of", len(rows))


if __name__ == "__main__":
    main()
