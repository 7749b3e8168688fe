"""Regions: the scores inside labels, lesions, the boundary shell and the tissues of CT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import numpy as np

from medtranslate.metrics.regions import (
    AIR_HU,
    BONE_HU,
    SHELL_VOXELS,
    boundary_shell,
    dice,
    score_region,
    split_tissues,
    ssim_in_mask,
)
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.sections import Section
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.analyses.tally import Column, Tally, name_cases
from medtranslate.workflows.scored_case import ScoredCase

WHOLE_MASK = "whole mask"
SHELL = "boundary shell"
BONE = "bone"


class RegionAnalysis(AbstractAnalysis):
    """Scores every method inside every region of a case."""

    name = "regions"
    gathered = ("_scaled", "_hu", "_left_out")

    def __init__(self) -> None:
        self._scaled = Tally(("region",), _columns("scaled intensity", digits=4))
        self._hu = Tally(("region",), _columns("HU", digits=1))
        self._left_out: dict[str, list[str]] = {}

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Score one case; a region without a voxel in the mask is left out and named."""
        mask = yardstick.mask
        reference = yardstick.reference[mask]
        similarity = {
            method: _similarity(yardstick, prediction) for method, prediction in predictions.items()
        }
        for why in case.labels_left_out:
            self._left_out.setdefault(why, []).append(case.name)
        for region, inside in _find_regions(case, yardstick):
            if not inside.any():
                self._left_out.setdefault(f"{region} has no voxel in the mask", []).append(
                    case.name
                )
                continue
            for method, prediction in predictions.items():
                scores = score_region(
                    reference,
                    prediction[mask],
                    similarity[method],
                    inside,
                    data_range=yardstick.data_range,
                )
                values = asdict(scores)
                if yardstick.is_ct and region == BONE:
                    values["dice"] = dice(inside, _is_bone(prediction[mask], yardstick))
                self._tally(is_ct=yardstick.is_ct).add(case, method, (region,), values)

    def finish(self, board: Scoreboard) -> Findings:
        """Tables by measure, and every case in ``regions.csv``."""
        tally = self._tally(is_ct=board.is_ct)
        tables = [tally.tabulate(board, name) for name in ("psnr", "ssim", "mae", "me", "dice")]
        section = Section(
            title="Regions",
            lead=_lead(board),
            tables=tuple(table for table in tables if table is not None),
            notes=name_cases(self._left_out),
        )
        summary = {"by_region": tally.to_json(board), "left_out": self._left_out}
        return Findings(section, {"regions.csv": tally.to_csv()}, summary)

    def _tally(self, *, is_ct: bool) -> Tally:
        return self._hu if is_ct else self._scaled


def _columns(unit: str, *, digits: int) -> tuple[Column, ...]:
    return (
        Column("voxels", "Voxels", 0),
        Column("psnr", "PSNR (dB), higher is better", 2),
        Column("ssim", "SSIM, at most 1, higher is better", 3),
        Column("mae", f"MAE ({unit}), lower is better", digits),
        Column("me", f"ME ({unit}), prediction minus reference, best at 0", digits, signed=True),
        Column("dice", f"Dice of bone from {BONE_HU:.0f} HU, 0 to 1, higher is better", 3),
    )


def _similarity(yardstick: Yardstick, prediction: np.ndarray) -> np.ndarray:
    return ssim_in_mask(
        yardstick.reference,
        prediction,
        yardstick.mask,
        data_range=yardstick.data_range,
        window=yardstick.protocol.ssim_window,
        background=yardstick.background,
    )


def _find_regions(case: ScoredCase, yardstick: Yardstick) -> Iterator[tuple[str, np.ndarray]]:
    """Name and boolean over the voxels of the mask, one region at a time."""
    mask = yardstick.mask
    yield WHOLE_MASK, np.ones(np.count_nonzero(mask), dtype=bool)
    yield SHELL, boundary_shell(mask)[mask]
    for name, label in case.labels.items():
        yield name, np.moveaxis(label, yardstick.voxel_axis, 0)[mask]
    if yardstick.is_ct:
        yield from split_tissues(_to_hu(yardstick.reference[mask], yardstick))


def _to_hu(values: np.ndarray, yardstick: Yardstick) -> np.ndarray:
    """Scored units of CT start at 0 at the lower end of its range."""
    hu: np.ndarray = values + yardstick.protocol.ct_range_hu[0]
    return hu


def _is_bone(prediction: np.ndarray, yardstick: Yardstick) -> np.ndarray:
    bone: np.ndarray = _to_hu(prediction, yardstick) >= BONE_HU
    return bone


def _lead(board: Scoreboard) -> str:
    text = (
        "Where the errors lie: scores over the voxels of each region that are also in the mask, "
        "mean \u00b1 SD over people. SSIM is the 3-D map of the volume score, averaged over the "
        f"region. The {SHELL} is the outermost {SHELL_VOXELS} voxels of the mask, inside its "
        "surface. "
    )
    if board.is_ct:
        text += (
            f"Air, soft tissue and bone are told by the real scan: below {_words(AIR_HU)} HU, up "
            f"to {_words(BONE_HU)} HU, and from there on, limits set by this toolkit. "
        )
    return f"{text}Protocol {board.protocol.name}, fingerprint {board.protocol.fingerprint}."


def _words(hu: float) -> str:
    return f"{hu:.0f}".replace("-", "\u2212")
