"""The pictures of each case that the report may show, drawn while the next case is scored."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from medtranslate.metrics.scoring import CaseScores
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.browser import SliceBrowser, make_browser, thin_slices
from medtranslate.report.build import CasePictures
from medtranslate.report.panels import cut_slice, fixed_window
from medtranslate.workflows.scored_case import ScoredCase


class PictureDrawer:
    """Draws in a thread of its own, one case at a time, so that no more than two are in memory.

    Which cases the report shows is known once all are scored, so every case is drawn.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._drawn: dict[str, Future[CasePictures]] = {}

    def close(self) -> None:
        """Wait for what is being drawn."""
        self._pool.shutdown(cancel_futures=True)

    def draw(
        self, case: ScoredCase, yardstick: Yardstick, prediction: np.ndarray, scores: CaseScores
    ) -> None:
        """Begin to draw a case once the one before it is done.

        Args:
            case: What was scored.
            yardstick: Its reference, as scored.
            prediction: Of the model, brought to the yardstick's unit, shape ``(i, j, k)``.
            scores: Of that prediction.
        """
        for earlier in self._drawn.values():
            earlier.result()
        task = self._pool.submit(_take_pictures, case, yardstick, prediction, scores)
        self._drawn[case.name] = task

    def finish(self) -> Mapping[str, CasePictures]:
        """The pictures by case, in the order they were begun."""
        return {name: drawn.result() for name, drawn in self._drawn.items()}


def _take_pictures(
    case: ScoredCase, yardstick: Yardstick, prediction: np.ndarray, scores: CaseScores
) -> CasePictures:
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
