"""Affine registration of a skull-stripped T1w template onto a T1w scan with or without skull.

Mutual information and plain correlation let the template grow until its brain covers the scalp;
here a prior on head size and the removal of everything brighter than brain prevent that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from einops import rearrange, reduce
from scipy import ndimage

from medtranslate.preprocess.masks import find_head
from medtranslate.volume import Volume

_WORKING_MM = 2.0
_RING_MM = 8.0
_LEVER_MM = 60.0
_MIN_SHARE_INSIDE = 0.5
# The ICBM 152 average is larger than most people (Ashburner et al. 1997).
_TYPICAL_ZOOM = 0.9
_PRIOR_WEIGHT = 0.01
_BRIGHTER_THAN_BRAIN = 1.3
_MIDDLE_MM = 40.0
_SHIFTS_MM = (-30.0, 0.0, 30.0)
_PITCHES = (-0.15, 0.2, 0.55)
# (voxel size and smoothing in mm, spread of the logarithm of the zooms, most steps)
_COARSE = (8.0, 0.03, 20)
_LEVELS = ((8.0, 0.05, 30), (4.0, 0.1, 30))


@dataclass(frozen=True, eq=False)
class Template:
    """A skull-stripped T1w average and how far each voxel lies outside its brain.

    Attributes:
        t1w: Shape ``(i, j, k)``; 0 outside the brain.
        distance_mm: Same shape; negative inside the brain.
        affine: Shape ``(4, 4)``; voxel index to world position, RAS+, millimetres.
        centre: Shape ``(3,)``; centre of mass of the brain, RAS+, millimetres.
    """

    t1w: np.ndarray
    distance_mm: np.ndarray
    affine: np.ndarray
    centre: np.ndarray


@dataclass(frozen=True, eq=False)
class TemplateFit:
    """Where the template lies in a scan.

    Attributes:
        world: Shape ``(4, 4)``; points of the template to points of the scan, RAS+ mm.
        misfit: Share of the template's variance that the scan does not explain, plus the prior;
            0 is perfect, about 0.1 to 0.4 a good fit.
    """

    world: np.ndarray
    misfit: float


@dataclass(frozen=True, eq=False)
class _Scan:
    """Voxels ``(i, j, k)`` and their affine."""

    voxels: np.ndarray
    affine: np.ndarray


@dataclass(frozen=True, eq=False)
class _Level:
    """One resolution: template points ``(n, 3)`` around its centre, and the scan's slopes."""

    offsets: np.ndarray
    values: np.ndarray
    scan: np.ndarray
    slopes: tuple[np.ndarray, ...]
    to_voxel: np.ndarray


@dataclass(frozen=True, eq=False)
class _Pose:
    """Template point ``x`` goes to ``matrix @ (x - centre) + place``."""

    matrix: np.ndarray
    place: np.ndarray


@dataclass(frozen=True, eq=False)
class _Equations:
    """Normal equations of one step, over nine matrix entries (times the lever) and the place."""

    cost: float
    normal: np.ndarray
    right: np.ndarray


def fit_template(volume: Volume, template: Template) -> TemplateFit:
    """Find the affine map that puts the template's brain onto the scan's.

    Levenberg-Marquardt steps on ``1 - R^2`` of the template's intensity as a linear function of
    the scan's (with a linear bias field), over the brain and 8 mm around it, from nine starts.
    Repeatable to the bit for any number of threads.

    Args:
        volume: T1w, whole head or skull-stripped; any grid and orientation.
        template: What is fitted.

    Returns:
        The best map; its misfit is infinite if there is no head in the scan.

    References:
        Ashburner et al., NeuroImage 6:344, 1997 (prior on the zooms).
    """
    native = _Scan(volume.voxels, volume.geometry.affine)
    scan = _shrink(native)
    head = find_head(scan.voxels, (_WORKING_MM,) * 3)
    if not head.any():
        return TemplateFit(np.eye(4), np.inf)
    middle = _find_middle(_to_world(np.argwhere(head), scan.affine))
    near = ((_positions(scan) - middle) ** 2).sum(axis=1) < _MIDDLE_MM**2
    mm, spread, num_steps = _COARSE
    level = _make_level(template, _darken_fat(native, scan, near), mm)
    found = [
        _descend(level, _start(middle, shift, pitch), spread, num_steps)
        for shift, pitch in product(_SHIFTS_MM, _PITCHES)
    ]
    pose, cost = min(found, key=lambda item: item[1])
    for mm, spread, num_steps in _LEVELS:
        if np.isfinite(cost):
            deep = _is_deep(scan, pose, template)
            level = _make_level(template, _darken_fat(native, scan, deep), mm)
            pose, cost = _descend(level, pose, spread, num_steps)
    return TemplateFit(_pose_to_world(pose, template), cost)


def _shrink(scan: _Scan) -> _Scan:
    """Average blocks of voxels so that none is much smaller than 2 mm."""
    spacing = np.linalg.norm(scan.affine[:3, :3], axis=0)
    shape = np.array(scan.voxels.shape)
    a, b, c = np.clip((_WORKING_MM / spacing).astype(int), 1, shape).tolist()
    whole = tuple(slice(n) for n in shape // (a, b, c) * (a, b, c))
    voxels = reduce(
        scan.voxels[whole].astype(np.float64), "(i a) (j b) (k c) -> i j k", "mean", a=a, b=b, c=c
    )
    affine = scan.affine @ np.diag([a, b, c, 1.0])
    affine[:3, 3] += scan.affine[:3, :3] @ ((np.array([a, b, c]) - 1) / 2)
    return _Scan(voxels, affine)


def _find_middle(points: np.ndarray) -> np.ndarray:
    """Centre of the head's upper 130 mm, whatever is left of the neck."""
    top = np.percentile(points[:, 2], 99.9)
    middle: np.ndarray = points[points[:, 2] > top - 130].mean(axis=0)
    return middle


def _start(middle: np.ndarray, shift_mm: float, pitch: float) -> _Pose:
    cosine, sine = np.cos(pitch), np.sin(pitch)
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return _Pose(_TYPICAL_ZOOM * turn, middle + np.array([0, 0, shift_mm]))


def _to_world(index: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Apply an affine map to points ``(n, 3)``."""
    # einsum, not @: BLAS adds in an order that depends on the number of threads.
    world: np.ndarray = np.einsum("ab,nb->na", affine[:3, :3], index) + affine[:3, 3]
    return world


def _positions(scan: _Scan) -> np.ndarray:
    index = rearrange(np.indices(scan.voxels.shape), "x i j k -> (i j k) x")
    return _to_world(index, scan.affine)


def _is_deep(scan: _Scan, pose: _Pose, template: Template) -> np.ndarray:
    """Voxels at least 10 mm inside the template's brain, flat."""
    back = np.linalg.inv(template.affine) @ np.linalg.inv(_pose_to_world(pose, template))
    index = _to_world(_positions(scan), back)
    distance = ndimage.map_coordinates(template.distance_mm, index.T, order=1, mode="nearest")
    deep: np.ndarray = distance < -10
    return deep


def _darken_fat(native: _Scan, scan: _Scan, sample: np.ndarray) -> _Scan:
    """Set to 0 what is brighter than brain: scalp and marrow would outweigh everything else.

    At full resolution, before averaging leaves rims of fat as bright as brain.
    """
    if not sample.any():
        return scan
    limit = _BRIGHTER_THAN_BRAIN * np.percentile(scan.voxels.ravel()[sample], 90)
    return _shrink(replace(native, voxels=np.where(native.voxels > limit, 0.0, native.voxels)))


def _smooth(scan: _Scan, mm: float) -> _Scan:
    """Smooth by ``mm / 2`` and keep every n-th voxel, at most ``mm / 2`` apart."""
    spacing = np.linalg.norm(scan.affine[:3, :3], axis=0)
    steps = np.maximum(1, (mm / 2 / spacing).astype(int))
    smooth = ndimage.gaussian_filter(scan.voxels, mm / 2 / spacing)
    thin = smooth[tuple(slice(None, None, int(s)) for s in steps)]
    return _Scan(thin, scan.affine @ np.diag([*steps, 1.0]))


def _make_level(template: Template, scan: _Scan, mm: float) -> _Level:
    spacing = np.linalg.norm(template.affine[:3, :3], axis=0)
    values = ndimage.gaussian_filter(template.t1w, mm / 2 / spacing)
    step = max(1, round(mm / float(spacing[0])))
    keep = np.zeros(template.t1w.shape, dtype=bool)
    keep[::step, ::step, ::step] = True
    keep &= template.distance_mm < _RING_MM
    offsets = _to_world(np.argwhere(keep), template.affine) - template.centre
    thin = _smooth(scan, mm)
    slopes = tuple(
        np.gradient(thin.voxels, axis=n) if thin.voxels.shape[n] > 1 else np.zeros_like(thin.voxels)
        for n in range(3)
    )
    return _Level(offsets, values[keep], thin.voxels, slopes, np.linalg.inv(thin.affine))


def _set_up(level: _Level, pose: _Pose, spread: float) -> _Equations:
    """Cost and normal equations at one pose; infinite cost where too little lies in the scan."""
    index = _to_world(_to_world(level.offsets, _stack(pose)), level.to_voxel)
    upper = np.array(level.scan.shape) - 0.5
    inside = ((index >= -0.5) & (index <= upper)).all(axis=1)
    where = index[inside].T
    value = ndimage.map_coordinates(level.scan, where, order=1, mode="nearest")
    if inside.mean() < _MIN_SHARE_INSIDE or value.max() <= value.min():
        return _Equations(np.inf, np.eye(12), np.zeros(12))
    voxel_slopes = np.stack(
        [ndimage.map_coordinates(s, where, order=1, mode="nearest") for s in level.slopes]
    )
    slopes = np.einsum("an,ab->nb", voxel_slopes, level.to_voxel[:3, :3])
    target, lever = level.values[inside], level.offsets[inside] / _LEVER_MM
    gain, residual = _explain(target, value, lever)
    by_matrix = rearrange(slopes[:, :, None] * lever[:, None, :], "n a b -> n (a b)")
    jacobian = gain[:, None] * np.concatenate([by_matrix, slopes], axis=1)
    scale = 1 / (len(target) * target.var())
    data = _Equations(
        scale * float((residual**2).sum()) + float(gain.mean() <= 0),
        scale * np.einsum("na,nb->ab", jacobian, jacobian),
        scale * np.einsum("na,n->a", jacobian, residual),
    )
    return _add_prior(data, pose.matrix, spread)


def _explain(
    target: np.ndarray, value: np.ndarray, lever: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Template as a linear function of the scan whose gain varies linearly: gain and residual."""
    basis = np.concatenate([np.ones((len(value), 1)), value[:, None], value[:, None] * lever], 1)
    size = np.sqrt((basis**2).mean(axis=0))
    basis = basis / size
    gram = np.einsum("na,nb->ab", basis, basis) + 1e-6 * len(basis) * np.eye(5)
    weights = np.linalg.solve(gram, np.einsum("na,n->a", basis, target))
    residual = target - np.einsum("na,a->n", basis, weights)
    weights = weights / size
    gain = weights[1] + np.einsum("na,a->n", lever, weights[2:])
    return gain, residual


def _add_prior(data: _Equations, matrix: np.ndarray, spread: float) -> _Equations:
    """Unlikely size and shape of the head as six more residuals, slopes by differences."""
    here = _log_stretch(matrix) / spread
    slopes = np.zeros((6, 12))
    for n in range(9):
        moved = matrix.ravel().copy()
        moved[n] += 1e-5
        slopes[:, n] = (_log_stretch(moved.reshape(3, 3)) / spread - here) / 1e-5 / _LEVER_MM
    return _Equations(
        data.cost + _PRIOR_WEIGHT * float((here**2).sum()),
        data.normal + _PRIOR_WEIGHT * slopes.T @ slopes,
        data.right - _PRIOR_WEIGHT * slopes.T @ here,
    )


def _log_stretch(matrix: np.ndarray) -> np.ndarray:
    """Logarithm of the stretch of ``matrix`` relative to the typical zoom, six entries."""
    squares, axes = np.linalg.eigh(matrix.T @ matrix)
    logarithm = (axes * (0.5 * np.log(np.maximum(squares, 1e-6)) - np.log(_TYPICAL_ZOOM))) @ axes.T
    upper: np.ndarray = logarithm[np.triu_indices(3)]
    return upper


def _descend(level: _Level, pose: _Pose, spread: float, num_steps: int) -> tuple[_Pose, float]:
    """Levenberg-Marquardt from one pose; the best pose and its cost."""
    here = _set_up(level, pose, spread)
    damping = 1e-2
    for _ in range(num_steps):
        if not np.isfinite(here.cost) or damping > 1e4:
            break
        damped = here.normal + damping * np.diag(np.diag(here.normal) + 1e-9)
        step = np.linalg.solve(damped, here.right)
        tried = _Pose(pose.matrix + step[:9].reshape(3, 3) / _LEVER_MM, pose.place + step[9:])
        there = _set_up(level, tried, spread)
        if there.cost >= here.cost:
            damping *= 8
            continue
        gained, pose, here = here.cost - there.cost, tried, there
        damping = max(damping / 4, 1e-4)
        if gained < 1e-5:
            break
    return pose, here.cost


def _stack(pose: _Pose) -> np.ndarray:
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = pose.matrix, pose.place
    return world


def _pose_to_world(pose: _Pose, template: Template) -> np.ndarray:
    return _stack(replace(pose, place=pose.place - pose.matrix @ template.centre))
