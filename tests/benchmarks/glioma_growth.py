"""Reaction and diffusion on real gliomas, beside "no change" and the cohort's mean growth.

    python tests/benchmarks/glioma_growth.py ../shared/data/brain_tumor_progression

One visit is known; rates come from the other people alone. The headers say 1 mm cubes; the slices
are taken as 0.9 mm in plane and 6 mm thick, and halved in plane.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from medtranslate.data.index import index_dataset
from medtranslate.data.visits import VisitPair, VisitSettings, pair_visits
from medtranslate.io import read_mask, read_volume
from medtranslate.methods.reaction_diffusion import (
    GrowthModel,
    GrowthRates,
    fit_rates,
    pool_rates,
)
from medtranslate.metrics.change import cover_at_volume
from medtranslate.metrics.change_baselines import mean_growth_rate, resize_region
from medtranslate.metrics.regions import dice

SPACING = (1.8, 1.8, 6.0)
TYPICAL = GrowthRates(diffusivity=20.0, proliferation=8.0)


class Glioma(NamedTuple):
    """One person: outlines at two visits, where cells can go, and the time between."""

    name: str
    before: np.ndarray
    after: np.ndarray
    tissue: np.ndarray
    years: float


def halve(mask: np.ndarray) -> np.ndarray:
    i, j, k = mask.shape
    half: np.ndarray = mask.reshape(i // 2, 2, j // 2, 2, k).mean(axis=(1, 3)) >= 0.5
    return half


def load(pair: VisitPair) -> Glioma:
    if pair.baseline.labels is None or pair.follow_up.labels is None:
        raise SystemExit(f"{pair.name}: a visit has no outline")
    before, after = read_mask(pair.baseline.labels), read_mask(pair.follow_up.labels)
    scan = read_volume(pair.baseline.scan).voxels
    brain = ndimage.binary_opening(scan > 0.15 * np.percentile(scan, 99), iterations=2)
    tissue = ndimage.binary_fill_holes(halve(brain | before))
    name = pair.subject.partition("/")[2]
    return Glioma(name, halve(before), halve(after), tissue * 1.0, pair.interval_years)


def main(folder: Path) -> None:
    pairs = pair_visits(
        [index_dataset(folder)],
        contrast="T1w+ce-gadolinium",
        settings=VisitSettings(labels="mask+label-tumor"),
    )
    people = [load(pair) for pair in pairs]
    fitted = [
        fit_rates(p.before, p.after, p.tissue, years=p.years, spacing=SPACING, typical=TYPICAL)
        for p in people
    ]
    print("person  days  no change  cohort mean  reaction-diffusion | cover at volume: cohort  r-d")
    for index, person in enumerate(people):
        others = [n for n in range(len(people)) if n != index]
        chance = GrowthModel(
            person.before, person.tissue, SPACING, pool_rates([fitted[n] for n in others])
        ).predict(person.years)
        growth = mean_growth_rate(
            [(people[n].before.sum(), people[n].after.sum(), people[n].years) for n in others]
        )
        allowed = person.tissue > 0
        mean = resize_region(
            person.before, factor=math.exp(growth * person.years), spacing=SPACING, allowed=allowed
        )
        planned = int(np.count_nonzero(chance >= 0.5))
        even = resize_region(
            person.before, factor=planned / person.before.sum(), spacing=SPACING, allowed=allowed
        )
        overlaps = [dice(r, person.after) for r in (person.before, mean, chance >= 0.5)]
        covers = [
            float((even & person.after).sum() / person.after.sum()),
            cover_at_volume(chance, person.after, voxels=planned),
        ]
        numbers = "  ".join(f"{value:.3f}" for value in (*overlaps, *covers))
        print(f"{person.name}  {person.years * 365.25:.0f}  {numbers}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
