"""Where the windows of a prediction met, on the source's own grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from monai.data.utils import dense_patch_slices

from medtranslate.inference.predict import InferencePlan
from medtranslate.io import sidecar_path
from medtranslate.io.documents import read_document
from medtranslate.preprocess.loading import track
from medtranslate.preprocess.native import native_mask
from medtranslate.preprocess.preparation import Prepared


def find_cells(
    prepared: Prepared, plan: InferencePlan | None, *, divisor: int
) -> np.ndarray | None:
    """A chessboard whose squares change where a prediction window starts or ends.

    Brought back onto the source's grid as the mask is, by the nearest voxel.

    Args:
        prepared: The case on the model grid.
        plan: How it was predicted; None if nobody knows.
        divisor: The volume was padded to multiples of this for prediction.

    Returns:
        Boolean, shape ``(i, j, k)`` of the source; None if it was predicted as a whole or
        nobody knows.
    """
    if plan is None or plan.window is None:
        return None
    shape = tuple(prepared.source.shape[1:])
    padded = tuple(-(-size // divisor) * divisor for size in shape)
    window = tuple(min(w, p) for w, p in zip(plan.window, padded, strict=True))
    # As MONAI's SlidingWindowInferer steps.
    steps = [
        p if w == p else max(1, int(w * (1 - plan.overlap)))
        for w, p in zip(window, padded, strict=True)
    ]
    windows = dense_patch_slices(padded, window, steps)
    colours = []
    for axis, (size, full) in enumerate(zip(shape, padded, strict=True)):
        before = (full - size) // 2
        borders = {edge for one in windows for edge in (one[axis].start, one[axis].stop)}
        inner = np.array(sorted(borders - {0, full})) - before
        colours.append(np.searchsorted(inner, np.arange(size), side="right"))
    i, j, k = np.meshgrid(*colours, indexing="ij", sparse=True)
    board = ((i + j + k) % 2).astype(np.float32)
    return native_mask(replace(prepared, mask=track(board, like=prepared.mask)))


def read_plan(written: Path) -> InferencePlan | None:
    """How a written prediction was made, by its sidecar; None if that does not say."""
    try:
        data = read_document(sidecar_path(written))["Inference"]
        if data["Window"] is None:
            return InferencePlan(None, 0.0)
        i, j, k = (int(size) for size in data["Window"])
        return InferencePlan((i, j, k), float(data["Overlap"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
