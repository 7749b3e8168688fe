"""Training targets brought to one level, so that no person is learned by their brightness."""

from __future__ import annotations

import numpy as np

_GAINS = (0.6, 1.6)
"""Slopes beyond these come from pairs that share little; they are cut to them."""


def level_target(target: np.ndarray, start: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Undo what is particular to one person's target scale.

    A percentile divides every target, so the same tissue is brighter in one person than in another.
    A network trained on few people learns whom it sees instead of what; on the next person that
    costs more than it gained. The straight line that leads from the cohort's starting map to this
    person's target (least squares) is therefore undone. For training only; nothing is scored so.

    Args:
        target: Any shape, normalised by a percentile.
        start: Same shape; what the cohort's starting map predicts.
        mask: Boolean, same shape, not empty.

    Returns:
        Same shape as ``target``: ``(target - offset) / gain``.

    Raises:
        ValueError: If the mask is empty.
    """
    x, y = start[mask].astype(np.float64), target[mask].astype(np.float64)
    if not x.size:
        raise ValueError("mask is empty: there is no voxel to level by")
    variance = x.var()
    gain = float(np.clip(np.cov(x, y, bias=True)[0, 1] / variance, *_GAINS)) if variance else 1.0
    offset = y.mean() - gain * x.mean()
    levelled: np.ndarray = ((target - offset) / gain).astype(target.dtype)
    return levelled
