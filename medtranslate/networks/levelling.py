"""Images brought to the level of the starting map, so that no person is learned by brightness."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def level(image: Tensor, start: Tensor, mask: Tensor) -> Tensor:
    """Take out of an image what a straight line of the starting map says about its difference.

    A percentile divides every MR target, so the same tissue is brighter in one person than in
    another, and nothing in the source tells by how much. A network trained on few people learns
    whom it sees and gives the next person somebody's scale. Levelled training targets do not teach
    that, and a levelled prediction cannot do it: over the patient, its difference from the starting
    map has neither mean nor slope.

    Args:
        image: Shape ``(1, i, j, k)``; a training target, or a prediction.
        start: Same shape; what the starting map predicts.
        mask: Same shape, above 0 inside the patient.

    Returns:
        Same shape: ``image - (offset + slope * start)``, the line fitted to ``image - start`` by
        least squares inside the mask.

    Raises:
        ValueError: If the mask is empty.
    """
    # NumPy takes what a mask covers in a tenth of torch's time.
    inside = mask.as_subclass(Tensor).numpy() > 0
    x = start.as_subclass(Tensor).numpy()[inside].astype(np.float64)
    if not x.size:
        raise ValueError("mask is empty: there is no voxel to level by")
    y = image.as_subclass(Tensor).numpy()[inside] - x
    centre = x.mean()
    x -= centre
    squares = x @ x
    slope = float(x @ y / squares) if squares else 0.0
    offset = float(y.mean() - slope * centre)
    levelled: Tensor = torch.add(image - offset, start, alpha=-slope)
    return levelled
