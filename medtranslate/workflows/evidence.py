"""All that an evaluation keeps of one case, so that the scans themselves may go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtranslate.errors import DatasetError
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import ScoredPrediction
from medtranslate.metrics.scoring import score_against
from medtranslate.metrics.yardstick import Yardstick, make_yardstick, require_same_grid
from medtranslate.report.build import CasePictures
from medtranslate.workflows.analyses.base import AbstractAnalysis
from medtranslate.workflows.case_pictures import take_pictures
from medtranslate.workflows.foreground import find_foreground
from medtranslate.workflows.scored_case import ScoredCase


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was seen of one case.

    Attributes:
        case: Its name.
        rows: Scores of every method, the model first.
        pictures: What the report may show.
        facts: Its line in the report's table of the cohort.
        is_ct: Whether it was scored in HU.
        mask_given: Whether it came with a mask; else the real scan's foreground was scored.
        seen: What each analysis gathered of it, by the analysis's name.
    """

    case: str
    rows: tuple[ScoredPrediction, ...]
    pictures: CasePictures
    facts: Mapping[str, str]
    is_ct: bool
    mask_given: bool
    seen: Mapping[str, Mapping[str, Any]]


def look_at(case: ScoredCase, protocol: Protocol, analyses: Sequence[AbstractAnalysis]) -> Evidence:
    """Score a case, look at it in every way asked for, and draw it meanwhile.

    Args:
        case: What to score.
        protocol: The rule.
        analyses: That have seen nothing; they stay so.

    Raises:
        DatasetError: If it cannot be scored.
        GeometryError: If a prediction or mask lies on another grid than its reference.
        ConfigError: If the protocol lacks a number that the scans need.
    """
    yardstick = _prepare(case, protocol)
    brought = {
        method: yardstick.bring(prediction.voxels, scale=scale)
        for method, (prediction, scale) in case.predictions.items()
    }
    rows = tuple(
        ScoredPrediction(case.name, case.subject, method, score_against(yardstick, prediction))
        for method, prediction in brought.items()
    )
    model = next(iter(brought.values()))
    with ThreadPoolExecutor(1, thread_name_prefix="pictures") as artist:
        drawn = artist.submit(take_pictures, case, yardstick, model, rows[0].scores)
        seen = {one.name: _see(one.begin(), case, yardstick, brought) for one in analyses}
        pictures = drawn.result()
    facts = {"case": case.name, "person": case.subject, **case.context}
    return Evidence(case.name, rows, pictures, facts, yardstick.is_ct, case.mask is not None, seen)


def _see(
    analysis: AbstractAnalysis,
    case: ScoredCase,
    yardstick: Yardstick,
    predictions: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    analysis.add(case, yardstick, predictions)
    return analysis.seen


def _prepare(case: ScoredCase, protocol: Protocol) -> Yardstick:
    if not case.predictions:
        raise DatasetError("there is no prediction to score")
    for method, (prediction, _) in case.predictions.items():
        require_same_grid(case.reference.geometry, prediction.geometry, what=method)
    if case.source is not None:
        require_same_grid(case.reference.geometry, case.source.geometry, what="source")
    mask = find_foreground(case.reference) if case.mask is None else case.mask
    return make_yardstick(case.reference, mask, protocol)
