"""What an earlier scan adds to a simulated future: nothing, the speed alone, or the velocity.

For each held-out pair of visits with a visit before: the errors of the change of volume of the
followed region and of the first further one, in percent of today's volume, and the PSNR where the
true region changes, in dB of the scan's scale. With ``--untold`` the covariates are left out.

    python tests/benchmarks/progression_history.py RUN DATASET [--untold]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from medtranslate.data.visits import VisitPair
from medtranslate.preprocess.preparation import Prepared, prepare
from medtranslate.workflows.cohort import assemble_cohort
from medtranslate.workflows.forecaster import AnyForesight, Forecaster, load_forecaster
from medtranslate.workflows.foresight import Foresight
from medtranslate.workflows.history import PastScan, observe_motion, observe_speed, see_past


@dataclass(frozen=True)
class Row:
    """Of one future: errors of two changes of volume, percent, and a PSNR, dB."""

    region: float
    further: float
    psnr: float


def score_pair(forecaster: Forecaster, pair: VisitPair, *, told: bool) -> dict[str, Row]:
    """Every way to use the visit before, by name."""
    settings, years = forecaster.pipeline.preprocess, pair.interval_years
    prepared = prepare(
        settings,
        name=pair.name,
        source=pair.baseline.scan,
        target=pair.follow_up.scan,
        label=pair.baseline.labels,
        later=pair.follow_up.labels,
    )
    before = pair.earlier[-1]
    past = PastScan(before.scan, pair.baseline.years - before.years)
    seen = see_past([past], settings=settings, baseline=pair.baseline.scan, name=pair.name)
    foresight = forecaster.look_ahead(prepared, pair.covariates if told else {})
    if not isinstance(foresight, Foresight):
        raise SystemExit("the model does not move anything")
    moved = observe_motion(foresight, seen)
    return {
        "no change": score(foresight, prepared, 0.0),
        "no earlier scan": score(foresight, prepared, years),
        "speed": score(foresight, prepared, years * observe_speed(foresight, seen)),
        "velocity": score(moved, prepared, years),
    }


def score(foresight: AnyForesight, prepared: Prepared, years: float) -> Row:
    """Compare one future with the truth."""
    images = (prepared.label, prepared.later, prepared.target, *prepared.further.values())
    if any(image is None for image in images):
        raise SystemExit("the cohort lacks labels")
    label, later, target, inner, inner_later = (
        image.as_tensor() for image in images if image is not None
    )
    changed = label != later
    apart = (foresight.at(years).image[0] - target)[changed]
    return Row(
        change(label, foresight.region_at(label, years)) - change(label, later),
        change(inner, foresight.region_at(inner, years)) - change(inner, inner_later),
        -10 * float(torch.log10(apart.square().mean())),
    )


def change(before: torch.Tensor, after: torch.Tensor) -> float:
    """Change of volume in percent."""
    return 100 * (float(after.sum()) / float(before.sum()) - 1)


def main() -> None:
    """Print the mean over pairs of each way."""
    forecaster, told = load_forecaster(Path(sys.argv[1])), "--untold" not in sys.argv
    cohort = assemble_cohort(forecaster.pipeline, [Path(sys.argv[2])])
    cases = [*cohort.part("test"), *cohort.part("val")]
    pairs = [pair for case in cases if (pair := cohort.pairs[case.name]).earlier]
    found = [score_pair(forecaster, pair, told=told) for pair in pairs]
    print(f"{len(pairs)} pairs; mean absolute error of the change of volume, percent; PSNR, dB")
    for name in found[0]:
        rows = [row[name] for row in found]
        region, further = (
            np.mean([abs(getattr(row, which)) for row in rows]) for which in ("region", "further")
        )
        psnr = np.mean([row.psnr for row in rows])
        print(f"{name:16} region {region:.2f}  further {further:.2f}  PSNR {psnr:.2f}")


if __name__ == "__main__":
    main()
