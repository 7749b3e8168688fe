"""How much of a real later region the margin covers that ``plan`` asks for around today's.

Unlike simulated people, real ones are not scanned twice in one position: the later outline is
registered to the baseline as in training, and put onto the baseline's own grid.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medtranslate.data.durations import Duration
from medtranslate.data.visit_times import DAYS_PER_YEAR
from medtranslate.data.visits import VisitPair
from medtranslate.io import read_volume
from medtranslate.metrics.margins import distance_from, measure_margins
from medtranslate.pipeline import Pipeline
from medtranslate.preprocess.native_motion import carry_image
from medtranslate.preprocess.preparation import prepare
from medtranslate.workflows.plan import plan
from medtranslate.workflows.simulate import simulate

COVERAGE = 0.9
LARGEST_MM = 30.0


@dataclass(frozen=True)
class MarginRow:
    """One pair of visits; margins in millimetres of the header, shares from 0 to 1.

    Attributes:
        days: Between the visits.
        growth: True later volume over today's.
        simulated_growth: Simulated later volume over today's.
        margin_mm: Smallest margin that covers ``COVERAGE`` of the simulated one; likewise.
        needed_mm: Smallest margin that covers as much of the true one; infinite above 30 mm.
        covered: Part of the true later region inside ``margin_mm``.
        covered_today: Part of it inside today's region.
    """

    days: float
    growth: float
    simulated_growth: float
    margin_mm: float
    needed_mm: float
    covered: float
    covered_today: float


def score_margin(run: Path, pipeline: Pipeline, pair: VisitPair) -> MarginRow:
    """Simulate the follow-up, plan around it, and compare the plan with the true outline."""
    with tempfile.TemporaryDirectory() as folder:
        simulated, planned = Path(folder) / "simulated", Path(folder) / "planned"
        simulate(
            run, pair.baseline.scan, [Duration("later", pair.interval_years)], simulated,
            region=pair.baseline.labels, covariates=pair.covariates,
        )  # fmt: skip
        found = plan(simulated, planned, coverage=COVERAGE, margin_max_mm=LARGEST_MM)
        today = read_volume(simulated / "today" / "region.nii.gz")
        chance = read_volume(simulated / "later" / "region.nii.gz").voxels
        margin = read_volume(planned / "later" / "margin_isotropic.nii.gz").voxels > 0
    asked = found.rows[0]["margin_mm"]
    region, later = today.voxels > 0, read_later_region(pipeline, pair)
    distance = distance_from(region, today.geometry.spacing)
    needed = measure_margins(distance, later, largest_mm=LARGEST_MM).smallest(COVERAGE)
    return MarginRow(
        days=pair.interval_years * DAYS_PER_YEAR,
        growth=float(later.sum() / region.sum()),
        simulated_growth=float(chance.sum() / region.sum()),
        margin_mm=np.inf if asked == "" else float(asked),
        needed_mm=np.inf if needed is None else needed,
        covered=float((margin & later).sum() / later.sum()),
        covered_today=float((region & later).sum() / later.sum()),
    )


def read_later_region(pipeline: Pipeline, pair: VisitPair) -> np.ndarray:
    """The true later region on the baseline's own grid."""
    prepared = prepare(
        pipeline.preprocess,
        name=pair.name,
        source=pair.baseline.scan,
        target=pair.follow_up.scan,
        label=pair.baseline.labels,
        later=pair.follow_up.labels,
    )
    if prepared.later is None:
        raise SystemExit(f"{pair.name}: a visit has no outline")
    on_grid = np.asarray(prepared.later, dtype=np.float32)[0]
    later: np.ndarray = carry_image(on_grid, prepared.grid, prepared.native) >= 0.5
    return later
