"""Whether predictions at several times make sense together: folds, composition, order, spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

LEVELS = (0.5, 0.8, 0.9)
"""Nominal coverages at which the spread of samples is checked."""

FEWEST_SAMPLES = 19
"""Samples among which a further one has 20 places, of which 50, 80 and 90 % are whole numbers."""


@dataclass(frozen=True)
class CompositionError:
    """How far two intervals one after the other lead from the whole one, in voxels.

    Attributes:
        mean: Mean distance.
        largest: Largest distance.
    """

    mean: float
    largest: float


def jacobian_determinant(displacement: np.ndarray) -> np.ndarray:
    """Local volume of the map ``x + d(x)``: 1 keeps it, 0 or less folds space.

    Args:
        displacement: Shape ``(3, i, j, k)``, in voxels along ``(i, j, k)``.

    Returns:
        Shape ``(i, j, k)``.
    """
    slopes = np.stack([np.stack(np.gradient(part)) for part in displacement.astype(np.float64)])
    determinant: np.ndarray = np.linalg.det(np.moveaxis(slopes, (0, 1), (-2, -1)) + np.eye(3))
    return determinant


def measure_folding(displacement: np.ndarray, *, mask: np.ndarray | None = None) -> float:
    """Share of voxels, 0 to 1, whose Jacobian determinant is 0 or less.

    Args:
        displacement: Shape ``(3, i, j, k)``, in voxels.
        mask: Boolean, shape ``(i, j, k)``; all voxels if None.

    Raises:
        ValueError: If the mask is empty.
    """
    folded = jacobian_determinant(displacement) <= 0
    if mask is not None and not mask.any():
        raise ValueError("mask is empty: no voxel to look at")
    return float(np.mean(folded if mask is None else folded[mask]))


def compose(first: np.ndarray, second: np.ndarray, *, mask: np.ndarray | None = None) -> np.ndarray:
    """Displacement that pulls through ``second``, then through ``first``: ``s(x) + f(x + s(x))``.

    Args:
        first: Shape ``(3, i, j, k)``, in voxels; of the earlier interval.
        second: Likewise; of the later one.
        mask: Boolean, shape ``(i, j, k)``; where to look, everywhere if None.

    Returns:
        Shape ``(3, n)``, one column for each voxel of the mask; ``(3, i, j, k)`` without one.
    """
    where = (slice(None), ...) if mask is None else (slice(None), mask)
    onward = second[where]
    target = np.indices(first.shape[1:])[where] + onward
    pulled = [ndimage.map_coordinates(part, target, order=1, mode="nearest") for part in first]
    composed: np.ndarray = onward + np.stack(pulled)
    return composed


def composition_error(
    first: np.ndarray, second: np.ndarray, whole: np.ndarray, *, mask: np.ndarray
) -> CompositionError:
    """Distance between both intervals one after the other and the whole one.

    Args:
        first: Displacement of the first interval, shape ``(3, i, j, k)``, voxels.
        second: Of the second interval.
        whole: Of both.
        mask: Boolean, shape ``(i, j, k)``, not empty; where to look.

    Raises:
        ValueError: If the mask is empty.
    """
    if not mask.any():
        raise ValueError("mask is empty: no voxel to look at")
    difference = compose(first, second, mask=mask) - whole[:, mask]
    distance = np.sqrt((difference.astype(np.float64) ** 2).sum(axis=0))
    return CompositionError(float(distance.mean()), float(distance.max()))


def count_reversals(volumes: Sequence[float], *, rising: bool, tolerance: float = 0.0) -> int:
    """Steps of a trajectory that run against its declared direction.

    Args:
        volumes: In the order of time.
        rising: Whether they are to rise; else they are to fall.
        tolerance: Steps back that are no larger do not count, unit of the volumes.

    Example:
        >>> count_reversals([1.0, 2.0, 1.5, 3.0], rising=True)
        1
    """
    steps = np.diff(volumes) * (1.0 if rising else -1.0)
    return int(np.count_nonzero(steps < -tolerance))


def place_in_samples(samples: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Where the truth falls among samples: near 0 below all of them, near 1 above.

    ``(r + 1/2) / (s + 1)`` with ``r`` of ``s`` samples below the truth, half of those equal to it
    counted as below: the probability integral transform of the samples. If the truth is one more
    sample, it takes each of its ``s + 1`` values equally often.

    Args:
        samples: Shape ``(s, ...)``; futures of each quantity.
        reference: Shape ``(...)``; the truth.

    Raises:
        ValueError: If shapes do not fit, or there is no sample.

    References:
        Gneiting, Balabdaoui & Raftery, J R Stat Soc B 2007;69:243-268.

    Example:
        >>> place_in_samples(np.array([1.0, 2.0, 3.0]), np.array(2.5)).tolist()
        0.625
    """
    if not len(samples) or samples.shape[1:] != reference.shape:
        raise ValueError(
            f"samples have shape {samples.shape} and the truth {reference.shape}; expected (s, ...)"
            " with at least 1 sample, and (...)"
        )
    rank = (samples < reference).sum(axis=0) + 0.5 * (samples == reference).sum(axis=0)
    return np.asarray((rank + 0.5) / (len(samples) + 1))


def lies_within(position: np.ndarray, level: float) -> np.ndarray:
    """Whether the truth lies in the central part of the samples that is to hold ``level`` of it.

    With 19 samples the central 50, 80 and 90 % hold a further one exactly so often.

    Args:
        position: Of the truth, from :func:`place_in_samples`.
        level: Nominal coverage, 0 to 1.
    """
    return np.asarray(np.abs(position - 0.5) <= level / 2)
