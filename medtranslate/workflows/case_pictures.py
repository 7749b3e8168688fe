"""The pictures of a case that the report may show."""

from __future__ import annotations

import numpy as np

from medtranslate.metrics.scoring import CaseScores
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.browser import SliceBrowser, make_browser, thin_slices
from medtranslate.report.build import CasePictures
from medtranslate.report.panels import cut_slice, fixed_window
from medtranslate.workflows.scored_case import ScoredCase


def take_pictures(
    case: ScoredCase, yardstick: Yardstick, prediction: np.ndarray, scores: CaseScores
) -> CasePictures:
    """Draw a case. Which cases the report shows is known once all are scored, so all are drawn.

    Args:
        case: What was scored.
        yardstick: Its reference, as scored.
        prediction: Of the model, brought to the yardstick's unit, shape ``(i, j, k)``.
        scores: Of that prediction.
    """
    scored = [row for row in scores.slices if row.scored]
    fullest = max(scored, key=lambda row: (row.mask_voxels, -row.index))
    worst = min(scored, key=lambda row: (row.values["psnr"], row.index))
    source = None if case.source is None else case.source.voxels
    shown = [
        cut_slice(
            yardstick,
            case.reference.geometry,
            index=row.index,
            psnr=row.values["psnr"],
            prediction=prediction,
            source=source,
        )
        for row in (fullest, worst)
    ]
    return CasePictures(
        case.name, shown[0], shown[1], _make_browser(case, yardstick, prediction, scores)
    )


def _make_browser(
    case: ScoredCase, yardstick: Yardstick, prediction: np.ndarray, scores: CaseScores
) -> SliceBrowser:
    scored = {row.index: row for row in scores.slices if row.scored}
    fullest = max(scored.values(), key=lambda row: row.mask_voxels)
    deviation = _scale_deviation(case, yardstick)
    pictures = [
        cut_slice(
            yardstick,
            case.reference.geometry,
            index=index,
            psnr=scored[index].values["psnr"],
            prediction=prediction,
            source=None if case.source is None else case.source.voxels,
            sd=deviation,
            enlarge=False,
        )
        for index in thin_slices(list(scored), keep=fullest.index)
    ]
    window = fixed_window(
        yardstick.data_range, is_ct=yardstick.is_ct, ct_low=yardstick.protocol.ct_range_hu[0]
    )
    names = [
        "" if one is None or one.modality is None else one.modality
        for one in (case.source, case.reference)
    ]
    return make_browser(pictures, window, source_name=names[0], target_name=names[1])


def _scale_deviation(case: ScoredCase, yardstick: Yardstick) -> np.ndarray | None:
    """The prediction's standard deviation in scored units, if it has one; CT's is in HU already."""
    scale = next(iter(case.predictions.values()))[1]
    if case.sd is None or yardstick.is_ct or scale is None:
        return case.sd
    return case.sd / scale.factor
