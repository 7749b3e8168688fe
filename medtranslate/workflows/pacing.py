"""How fast the training people's regions change, and what their covariates say of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from medtranslate.preprocess.cache import PreparedArrays
from medtranslate.workflows.foresight import Foresight

_FASTEST = 8.0
_NUM_TRIES = 3
_LEAST_CHANGE = 1e-4
_PERSONAL_SD = 0.3
_EFFECT_SD = 1.0
_CONSTANT_SD = 10.0


@dataclass(frozen=True, eq=False)
class PacedPerson:
    """One pair of visits of a training person.

    Attributes:
        foresight: What the network says of the baseline.
        arrays: The prepared scans; of use with both labels.
        years: Between the visits.
        condition: Shape ``(c,)``, the covariates as the network is shown them.
    """

    foresight: Foresight
    arrays: PreparedArrays
    years: float
    condition: np.ndarray


def fit_speed(people: Iterable[PacedPerson]) -> np.ndarray | None:
    """Effects of the covariates on the logarithm of the speed of disease, by ridge regression.

    Where tissue moves is seen by a network in every voxel; how fast it moves is better read from
    a region's volume, which the noise of single voxels hardly touches. For each person the speed
    is found at which the simulated change of volume is the true one, and its logarithm is
    regressed on the covariates: with a normal prior of standard deviation 1 for an effect (a
    factor of e), and people of like covariates differing by 0.3. Nobody counts whose region is
    not labelled at both visits, or for whom the network says that its volume stays.

    Returns:
        Float32, shape ``(c + 1,)``, the constant last; None if nobody counts.
    """
    rows, speeds = [], []
    for person in people:
        speed = find_speed(person)
        if speed is not None:
            rows.append([*person.condition, 1.0])
            speeds.append(np.log(speed))
    return regress(np.array(rows), np.array(speeds)) if speeds else None


def regress(conditions: np.ndarray, log_speeds: np.ndarray) -> np.ndarray:
    """Ridge regression with the priors of :func:`fit_speed`.

    Args:
        conditions: Shape ``(n, c + 1)``, the last column 1.
        log_speeds: Shape ``(n,)``.

    Returns:
        Float32, shape ``(c + 1,)``.

    Example:
        >>> told = np.array([[1.0, 1.0], [-1.0, 1.0]] * 500)
        >>> regress(told, told @ [0.5, 1.0]).round(2).tolist()
        [0.5, 1.0]
    """
    prior = np.full(conditions.shape[1], _EFFECT_SD**-2)
    prior[-1] = _CONSTANT_SD**-2
    precision = conditions.T @ conditions / _PERSONAL_SD**2 + np.diag(prior)
    effects = np.linalg.solve(precision, conditions.T @ log_speeds / _PERSONAL_SD**2)
    return effects.astype(np.float32)


def find_speed(person: PacedPerson) -> float | None:
    """The speed at which the simulated change of the region's volume is the true one.

    The change is nearly proportional to the speed, so that a few divisions find it. It is kept
    between an eighth and eight times; a change against the simulated one gives an eighth.

    Returns:
        None if it cannot be told.
    """
    label, later = person.arrays.label, person.arrays.later
    if label is None or later is None or not label.any():
        return None
    today = float(label.sum())
    true = float(later.sum()) / today - 1
    speed = 1.0
    for _ in range(_NUM_TRIES):
        moved = person.foresight.region_at(label, person.years, speed=speed)
        change = float(moved.sum()) / today - 1
        if abs(change) < _LEAST_CHANGE:
            return None
        wanted = max(true / change, 1 / _FASTEST)
        speed = float(np.clip(speed * wanted, 1 / _FASTEST, _FASTEST))
    return speed
