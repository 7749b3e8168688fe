"""Scores a tumour model on the held-out people of a simulated cohort whose truth is known.

For each person: Dice of the simulated later outline and of "no change" with the true one, and the
part of the true later tumour inside the margin that ``plan`` asks for.

    python tests/benchmarks/progression_tumour.py RUN DATASET
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medtranslate.data.durations import Duration
from medtranslate.data.visits import VisitPair
from medtranslate.io import read_volume
from medtranslate.metrics.regions import dice
from medtranslate.workflows.cohort import assemble_cohort
from medtranslate.workflows.forecaster import load_forecaster
from medtranslate.workflows.plan import plan
from medtranslate.workflows.simulate import simulate

COVERAGE = 0.9


@dataclass(frozen=True)
class Row:
    """What one pair of visits gave; volumes in voxels, the margin in millimetres."""

    growth: float
    simulated_growth: float
    dice: float
    dice_no_change: float
    margin_mm: float
    covered: float


def score_pair(run: Path, pair: VisitPair) -> Row:
    """Simulate the follow-up, plan around it, and compare both with the true outline."""
    if pair.baseline.labels is None or pair.follow_up.labels is None:
        raise SystemExit(f"{pair.name}: a visit has no outline")
    today, later = (
        read_volume(path).voxels > 0 for path in (pair.baseline.labels, pair.follow_up.labels)
    )
    with tempfile.TemporaryDirectory() as folder:
        simulated, planned = Path(folder) / "simulated", Path(folder) / "planned"
        simulate(
            run, pair.baseline.scan, [Duration("later", pair.interval_years)], simulated,
            region=pair.baseline.labels, covariates=pair.covariates,
        )  # fmt: skip
        found = plan(simulated, planned, coverage=COVERAGE)
        chance = read_volume(simulated / "later" / "region.nii.gz").voxels
        margin = read_volume(planned / "later" / "margin_isotropic.nii.gz").voxels > 0
    grown = chance >= 0.5
    return Row(
        later.sum() / today.sum(),
        chance.sum() / today.sum(),
        dice(later, grown),
        dice(later, today),
        float(found.rows[0]["margin_mm"] or np.nan),
        float((margin & later).sum() / later.sum()),
    )


def main() -> None:
    """Print a row for each held-out pair, and what they come to."""
    run, dataset = Path(sys.argv[1]), Path(sys.argv[2])
    cohort = assemble_cohort(load_forecaster(run).pipeline, [dataset])
    pairs = [cohort.pairs[case.name] for case in cohort.part("test")]
    print("pair  growth  simulated  dice  no_change  margin_mm  covered")
    rows = []
    for pair in pairs:
        rows.append(score_pair(run, pair))
        print(pair.name, *(f"{value:.3f}" for value in vars(rows[-1]).values()), flush=True)
    for name in ("dice", "dice_no_change", "covered"):
        print(f"mean {name}: {np.mean([getattr(row, name) for row in rows]):.3f}")
    print("better than no change:", sum(row.dice > row.dice_no_change for row in rows), "of",
          len(rows))  # fmt: skip


if __name__ == "__main__":
    main()
