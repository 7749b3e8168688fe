"""Change: whether what a model changes in a scan and a region is what did change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from medtranslate.metrics.change import (
    Spacing,
    cover_at_volume,
    measure_volume_change,
    score_change,
    score_region_change,
)
from medtranslate.metrics.change_baselines import CHANGE_BASELINES, NO_CHANGE, resize_region
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.sections import Section
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.analyses.tally import Column, Tally
from medtranslate.workflows.scored_case import Followed, ScoredCase

_COLUMNS = (
    Column("years", "Years to the follow-up", 2),
    Column("psnr_changed", "PSNR where the region changed (dB), higher is better", 2),
    Column("correlation", "Correlation of the change, at most 1, higher is better", 3),
    Column("mae", "MAE of the change (scaled intensity), lower is better", 4),
    Column("rmse", "RMSE of the change (scaled intensity), lower is better", 4),
    Column("dice", "Dice of the later region, at most 1, higher is better", 3),
    Column("changed_dice", "Dice of what changed in the region, higher is better", 3),
    Column("precision", "Precision of new voxels of the region, higher is better", 3),
    Column("recall", "Recall of new voxels of the region, higher is better", 3),
    Column("covered", "Part of the later region in as many planned voxels, higher is better", 3),
    Column("change_true_ml", "True change of volume (ml)", 3, signed=True),
    Column("change_ml", "Predicted change of volume (ml)", 3, signed=True),
    Column("error_ml", "Error of the change of volume (ml), best at 0", 3, signed=True),
    Column("error_percent", "The same in % of the volume today, best at 0", 2, signed=True),
    Column("folded_percent", "Voxels where the deformation folds (%), lower is better", 4),
)
_TABLES = (
    "psnr_changed", "correlation", "mae", "dice", "changed_dice", "precision", "recall", "covered",
    "change_ml", "error_ml", "error_percent", "folded_percent",
)  # fmt: skip
_LEAD = (
    "The change from the baseline to the follow-up, of the model and of what it must beat; mean "
    "\u00b1 SD over people. 'No change' is the baseline itself and has no correlation. A region "
    "is counted from a chance of a half on; volumes are sums of chances. Coverage is taken in the "
    "likeliest voxels, as many as the later region has; what must be beaten has no likeliest "
    "voxels, and plans today's region, grown or shrunk evenly to as many. "
)


class ChangeAnalysis(AbstractAnalysis):
    """Scores the change that every method predicts, in the scan and in the labelled region."""

    name = "change"
    gathered = ("_tally",)

    def __init__(self) -> None:
        self._tally = Tally((), _COLUMNS)

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Score one case; the baseline scan is the prediction of 'no change'."""
        followed = case.followed
        if followed is None:
            return
        baseline = predictions[NO_CHANGE]
        model = next(iter(predictions))
        for method, prediction in predictions.items():
            image = score_change(baseline, yardstick.reference, prediction, mask=yardstick.mask)
            values: dict[str, float | None] = {"years": followed.years, **asdict(image)}
            values["psnr_changed"] = _psnr_changed(followed, yardstick, prediction)
            if method == model:
                values["folded_percent"] = 100.0 * followed.folded
            if followed.today is not None and followed.later is not None:
                values |= _score_region(
                    followed.today,
                    followed.later,
                    followed.regions[method],
                    method=method,
                    spacing=case.reference.geometry.spacing,
                )
            self._tally.add(case, method, (), values)

    def finish(self, board: Scoreboard) -> Findings | None:
        """Tables by measure, and every case in ``change.csv``."""
        if not self._tally.parts:
            return None
        tables = [self._tally.tabulate(board, name) for name in _TABLES]
        section = Section(
            title="Change",
            lead=f"{_LEAD}Protocol {board.protocol.name}, {board.protocol.fingerprint}.",
            tables=tuple(table for table in tables if table is not None),
        )
        return Findings(
            section,
            {"change.csv": self._tally.to_csv()},
            {"by_method": self._tally.to_json(board)},
        )


def _psnr_changed(followed: Followed, yardstick: Yardstick, prediction: np.ndarray) -> float | None:
    """PSNR over the voxels that joined or left the region; None where none did."""
    if followed.today is None or followed.later is None:
        return None
    changed = np.moveaxis(followed.today ^ followed.later, yardstick.voxel_axis, 0)
    changed = changed & yardstick.mask
    if not changed.any():
        return None
    error = float(np.mean((prediction - yardstick.reference)[changed] ** 2))
    return float(10 * np.log10(yardstick.data_range**2 / error)) if error else None


def _score_region(
    today: np.ndarray, later: np.ndarray, chance: np.ndarray, *, method: str, spacing: Spacing
) -> dict[str, float | None]:
    """Everything about the region that one method predicts."""
    volume = measure_volume_change(today, later, chance, spacing=spacing)
    even = method in CHANGE_BASELINES and today.any()
    planned = _grow_evenly(today, later, spacing) if even else chance
    return {
        **asdict(score_region_change(today, later, chance >= 0.5)),
        "covered": cover_at_volume(planned, later, voxels=int(later.sum()))
        if later.any()
        else None,
        "change_true_ml": volume.reference_ml,
        "change_ml": volume.prediction_ml,
        "error_ml": volume.error_ml,
        "error_percent": volume.error_percent,
    }


def _grow_evenly(today: np.ndarray, later: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Today's region with the same margin all around, at the later one's volume.

    A baseline says of voxels that they are in or out. At another volume than its own the rest
    would be drawn by lot, which nobody plans by.
    """
    factor = float(later.sum() / today.sum())
    return resize_region(today, factor=factor, spacing=spacing).astype(np.float32)
