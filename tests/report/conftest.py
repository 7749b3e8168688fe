"""Scoreboards and pictures for the tests of the report, without scoring anything."""

from __future__ import annotations

import numpy as np
import pytest

from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import MEASURES, SLICE_MEASURES, CaseScores, SliceScores
from medtranslate.report.browser import make_browser
from medtranslate.report.build import CasePictures
from medtranslate.report.panels import SlicePicture, Window

NUM_SLICES = 12
FIRST_SCORED = 3


def make_scores(level):
    """Scores of a case that rise slowly over its slices; PSNR about ``level``."""
    rows = []
    for index in range(NUM_SLICES):
        scored = FIRST_SCORED <= index < NUM_SLICES - 1
        psnr = level + 0.1 * index
        values = dict.fromkeys(SLICE_MEASURES, psnr / 40) | {"psnr": psnr, "psnr_full": psnr + 6}
        rows.append(SliceScores(index, 40 * scored, scored, values if scored else {}))
    means = {
        name: float(np.mean([row.values[name] for row in rows if row.scored]))
        for name in SLICE_MEASURES
    }
    rest = dict.fromkeys(MEASURES, 0.05) | {"psnr_volume": level, "ssim_volume": level / 40}
    return CaseScores(tuple(rows), rest | means | {"mae": 1 / level})


@pytest.fixture(scope="session")
def make_board():
    """Function that builds a board from PSNR levels by method; one person a case."""

    def build(levels=None, *, is_ct=False, axis="axial"):
        levels = levels or {
            "cgan": (22.0, 18.0, 20.0, 24.0),
            "lookup map": (17.0, 16.5, 18.0, 19.0),
            "copy of the source": (8.0, 9.0, 7.0, 8.5),
        }
        rows = [
            ScoredPrediction(
                f"case{number}", f"data/p{number}", method, make_scores(values[number])
            )
            for number in range(len(next(iter(levels.values()))))
            for method, values in levels.items()
        ]
        protocol = Protocol(axis=axis, interval_resamples=500)
        return Scoreboard(tuple(rows), next(iter(levels)), is_ct, protocol)

    return build


@pytest.fixture(scope="session")
def make_picture():
    """Function that builds one slice to show."""

    def build(*, index=5, psnr=20.0, source=True, error=0.2, shape=(20, 16), aspect=1.0):
        generator = np.random.default_rng(index)
        mask = np.zeros(shape, bool)
        mask[3:-3, 2:-4] = True
        reference = np.where(mask, generator.uniform(0.2, 1.0, shape), 0.0).astype(np.float32)
        return SlicePicture(
            index=index,
            psnr=psnr,
            source=1.0 - reference if source else None,
            prediction=reference + np.where(mask, error, 0).astype(np.float32),
            reference=reference,
            mask=mask,
            aspect=aspect,
            sides=("R", "L"),
        )

    return build


@pytest.fixture(scope="session")
def make_case_pictures(make_picture):
    """Function that builds what the report may show of one case."""

    def build(name):
        shown = [make_picture(index=index, psnr=float(index)) for index in (3, 5, 9)]
        window = Window(low=0.0, high=1.0, error=0.2)
        browser = make_browser(shown, window, source_name="T1w", target_name="T2w")
        return CasePictures(name, make_picture(index=5), make_picture(index=9, psnr=11.0), browser)

    return build


@pytest.fixture(scope="session")
def pictures(make_case_pictures):
    """Slices of the four cases of the default board."""
    return {f"case{n}": make_case_pictures(f"case{n}") for n in range(4)}
