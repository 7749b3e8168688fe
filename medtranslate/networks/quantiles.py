"""Quantiles of values that are sorted already."""

from __future__ import annotations

import numpy as np


def quantiles_of_sorted(ascending: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """What :func:`numpy.quantile` gives, to the bit, where NumPy would look for an order again.

    That takes NumPy up to twice the time of sorting, the more the fewer grey values there are.

    Args:
        ascending: Shape ``(n,)``, at least one value, sorted.
        levels: Shape ``(m,)``, 0 to 1.

    Returns:
        Shape ``(m,)``, float64; between two values the line through them.

    Example:
        >>> quantiles_of_sorted(np.array([1.0, 2.0, 4.0]), np.array([0.0, 0.75, 1.0])).tolist()
        [1.0, 3.0, 4.0]
    """
    places = levels * (len(ascending) - 1)
    below = np.floor(places).astype(np.intp)
    low, high = ascending[below], ascending[np.minimum(below + 1, len(ascending) - 1)]
    share, step = places - below, high - low
    # From the nearer end, as NumPy does it, so that no rounding leads beyond the other.
    found: np.ndarray = np.where(share < 0.5, low + step * share, high - step * (1 - share))
    return found
