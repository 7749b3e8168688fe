"""How the error falls when what is least sure is set aside: risk-coverage curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mean_of_kept(risk: np.ndarray, doubt: np.ndarray, set_aside: Sequence[float]) -> np.ndarray:
    """Mean risk of the units that are left when those of the highest doubt are set aside.

    The risk-coverage curve of selective prediction (El-Yaniv & Wiener, JMLR 2010;11:1605-1641).
    Units of equal doubt are set aside in random order, and the mean is the expected one.
    ``doubt = risk`` gives the lowest curve there can be (the oracle), a constant doubt the flat
    one of a random order.

    Args:
        risk: Shape ``(n,)``, such as absolute or squared errors.
        doubt: Shape ``(n,)``; what is highest goes first.
        set_aside: Shares of the units, from 0 to below 1; rounded down to whole units.

    Returns:
        One mean a share, in the unit of ``risk``.

    Raises:
        ValueError: If there is no unit, lengths differ, or a share is out of range.

    Example:
        >>> errors = np.array([1.0, 5.0, 3.0, 1.0])
        >>> mean_of_kept(errors, errors, [0.0, 0.25, 0.5]).tolist()
        [2.5, 1.6666666666666667, 1.0]
        >>> mean_of_kept(errors, np.zeros(4), [0.0, 0.25, 0.5]).tolist()
        [2.5, 2.5, 2.5]
    """
    shares = np.asarray(set_aside, dtype=np.float64)
    if not risk.size or risk.shape != doubt.shape:
        raise ValueError(f"got {risk.size} risks and {doubt.size} doubts, expected as many, not 0")
    if not ((shares >= 0) & (shares < 1)).all():
        raise ValueError(f"shares are {shares.tolist()}, expected 0 or more and below 1")
    kept = risk.size - np.floor(shares * risk.size + 1e-9).astype(int)
    order = np.argsort(doubt, kind="stable")
    return np.asarray(np.cumsum(_level_ties(risk[order], doubt[order]))[kept - 1] / kept)


def _level_ties(risk: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """Each risk replaced by the mean over its run of equal doubt; both sorted by doubt."""
    first = np.flatnonzero(np.append(True, doubt[1:] != doubt[:-1]))
    counts = np.diff(np.append(first, risk.size))
    means = np.add.reduceat(risk.astype(np.float64), first) / counts
    return np.asarray(np.repeat(means, counts))
