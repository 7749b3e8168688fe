"""Scores a progression model on the held-out people of a simulated cohort whose truth is known.

For each pair of visits: the change of volume of the region that was trained on and of the
ventricles, which were not; and the PSNR where the true tissue changed, of the
simulated follow-up and of "no change".

    python tests/benchmarks/progression_holdout.py RUN DATASET
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medtranslate.data.visits import Visit, VisitPair
from medtranslate.io import read_volume
from medtranslate.networks.deformation import jacobian_determinant
from medtranslate.preprocess.native_motion import pull
from medtranslate.preprocess.preparation import prepare
from medtranslate.workflows.cohort import assemble_cohort
from medtranslate.workflows.forecaster import Forecaster, load_forecaster


@dataclass(frozen=True)
class Row:
    """What one pair of visits gave; changes in percent, PSNR in dB, folded voxels in percent."""

    true: float
    simulated: float
    true_ventricles: float
    simulated_ventricles: float
    psnr: float
    psnr_no_change: float
    folded: float


def score_pair(forecaster: Forecaster, pair: VisitPair) -> Row:
    """Simulate the follow-up and compare it with the truth."""
    values = forecaster.pipeline.preprocess.region_values
    visits = (pair.baseline, pair.follow_up)
    scan, truth = (read_volume(visit.scan) for visit in visits)
    tissue = [read_volume(visit.labels).voxels for visit in visits if visit.labels is not None]
    today, later = (np.isin(one, values) for one in tissue)
    fluid = [read_ventricles(visit) for visit in visits]
    prepared = prepare(
        forecaster.pipeline.preprocess,
        name=pair.name,
        source=pair.baseline.scan,
        label=pair.baseline.labels,
    )
    foresight = forecaster.look_ahead(prepared, pair.covariates)
    years = pair.interval_years
    future = forecaster.develop(foresight, prepared, scan, today, years=years)
    moved = pull(fluid[0].astype(np.float32), future.field_mm, scan.geometry)
    stretch = jacobian_determinant(foresight.at(years).displacement)
    changed = tissue[0] != tissue[1]
    head = ~changed & (tissue[0] > 0) & (scan.voxels > 0)
    gain = np.median(truth.voxels[head] / scan.voxels[head])
    data_range = np.percentile(truth.voxels[head], 99.5)

    def psnr(image: np.ndarray) -> float:
        error = np.mean((gain * image - truth.voxels)[changed] ** 2)
        return float(10 * np.log10(data_range**2 / error))

    return Row(
        change(today, later),
        change(today, future.region),
        change(*fluid),
        change(fluid[0], moved),
        psnr(future.scan),
        psnr(scan.voxels),
        100 * float((stretch <= 0).float().mean()),
    )


def read_ventricles(visit: Visit) -> np.ndarray:
    """The ventricles of a visit, beside its segmentation; empty where there is no mask."""
    if visit.labels is None:
        raise SystemExit("the cohort has no labels")
    path = visit.labels.with_name(visit.labels.name.replace("dseg", "label-ventricles_mask"))
    mask: np.ndarray = read_volume(path).voxels > 0
    return mask


def change(before: np.ndarray, after: np.ndarray) -> float:
    """Change of volume in percent."""
    return 100 * (float(after.sum(dtype=np.float64)) / float(before.sum(dtype=np.float64)) - 1)


def main() -> None:
    """Print a row for each held-out pair, and what they come to."""
    forecaster = load_forecaster(Path(sys.argv[1]))
    cohort = assemble_cohort(forecaster.pipeline, [Path(sys.argv[2])])
    pairs = [cohort.pairs[case.name] for case in cohort.part("test")]
    rows = [score_pair(forecaster, pair) for pair in pairs]
    print("pair  true_%  simulated_%  ventricles_true_%  simulated_%  psnr  no_change  folded_%")
    for pair, row in zip(pairs, rows, strict=True):
        print(pair.name, *(f"{value:.3f}" for value in vars(row).values()))
    for name in ("", "_ventricles"):
        true, found = (
            np.array([getattr(row, f"{kind}{name}") for row in rows])
            for kind in ("true", "simulated")
        )
        error = 100 * (found.mean() / true.mean() - 1)
        each = 100 * np.mean(np.abs(found / true - 1))
        print(
            f"mean change{name}: true {true.mean():.3f} %, simulated {found.mean():.3f} %:"
            f" {error:+.1f} % off; person by person {each:.1f} % off on average"
        )
    print("better than no change:", sum(row.psnr > row.psnr_no_change for row in rows), "of",
          len(rows))  # fmt: skip


if __name__ == "__main__":
    main()
