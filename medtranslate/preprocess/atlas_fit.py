"""Affine registration of the packaged brain template onto a T1w scan with or without skull."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from medtranslate.geometry import Geometry
from medtranslate.volume import Volume

_RING_MM = 8.0
_LEVERAGE_MM = 60.0
_ZOOM = 0.9
_MIN_INSIDE = 0.5


@dataclass(frozen=True, eq=False)
class Template:
    """A skull-stripped T1w average and how far each voxel lies outside its brain.

    Attributes:
        t1w: Shape ``(i, j, k)``; 0 outside the brain.
        distance_mm: Same shape; negative inside the brain.
        affine: Shape ``(4, 4)``; voxel index to world position, RAS+, millimetres.
    """

    t1w: np.ndarray
    distance_mm: np.ndarray
    affine: np.ndarray


@dataclass(frozen=True, eq=False)
class _Level:
    """One resolution: template points ``(n, 3)`` with values, and the scan to look them up in."""

    points: np.ndarray
    values: np.ndarray
    scan: np.ndarray
    slopes: np.ndarray
    to_voxel: np.ndarray


@dataclass(frozen=True, eq=False)
class _Pose:
    """Template point ``x`` to scan point ``matrix @ (x - centre) + place``."""

    matrix: np.ndarray
    place: np.ndarray
    cost: float = np.inf


def make_level(template: Template, scan: np.ndarray, affine: np.ndarray, mm: float) -> _Level:
    """Smooth both by half of ``mm`` and keep template points about ``mm`` apart."""
    spacing = np.linalg.norm(template.affine[:3, :3], axis=0)
    smooth = ndimage.gaussian_filter(template.t1w.astype(np.float64), mm / 2 / spacing)
    step = max(1, round(mm / float(spacing[0])))
    keep = np.zeros(template.t1w.shape, dtype=bool)
    keep[::step, ::step, ::step] = True
    keep &= template.distance_mm < _RING_MM
    points = _to_world(np.argwhere(keep), template.affine)
    thin, coarse = thin_scan(scan, affine, mm)
    return _Level(
        points, smooth[keep], thin, np.stack(np.gradient(thin)), np.linalg.inv(coarse)
    )


def thin_scan(scan: np.ndarray, affine: np.ndarray, mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Smooth to ``mm / 2`` and keep every n-th voxel, so that voxels stay below ``mm / 2``."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    steps = np.maximum(1, (mm / 2 / spacing).astype(int))
    smooth = ndimage.gaussian_filter(scan.astype(np.float64), mm / 2 / spacing)
    thin = smooth[tuple(slice(None, None, int(s)) for s in steps)]
    return thin, affine @ np.diag([*steps, 1.0])


def _to_world(index: np.ndarray, affine: np.ndarray) -> np.ndarray:
    # einsum, not @: BLAS adds in an order that depends on the number of threads.
    world: np.ndarray = np.einsum("ab,nb->na", affine[:3, :3], index) + affine[:3, 3]
    return world


def _look_up(level: _Level, pose: _Pose, centre: np.ndarray) -> tuple[np.ndarray, ...]:
    """Which template points fall into the scan, their offsets, scan values, world slopes."""
    offset = level.points - centre
    world = np.einsum("ab,nb->na", pose.matrix, offset) + pose.place
    index = _to_world(world, level.to_voxel)
    upper = np.array(level.scan.shape) - 1
    inside = ((index >= -0.5) & (index <= upper + 0.5)).all(axis=1)
    where = index[inside].T
    value = ndimage.map_coordinates(level.scan, where, order=1, mode="nearest")
    slopes = [ndimage.map_coordinates(s, where, order=1, mode="nearest") for s in level.slopes]
    world_slopes = np.einsum("an,ab->nb", np.stack(slopes), level.to_voxel[:3, :3])
    return inside, offset[inside], value, world_slopes


def _log_stretch(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    log = vectors @ np.diag(0.5 * np.log(np.maximum(values, 1e-6))) @ vectors.T
    return (log - np.log(_ZOOM) * np.eye(3))[np.triu_indices(3)]


def _prior(matrix: np.ndarray, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Unlikely size and shape as residuals, and their slopes over the nine entries."""
    here = _log_stretch(matrix) / spread
    slopes = np.zeros((6, 9))
    for n in range(9):
        moved = matrix.copy().ravel()
        moved[n] += 1e-5
        slopes[:, n] = (_log_stretch(moved.reshape(3, 3)) / spread - here) / 1e-5
    return here, slopes


def _equations(
    level: _Level, pose: _Pose, centre: np.ndarray, spread: float
) -> tuple[float, np.ndarray, np.ndarray]:
    inside, offset, value, slopes = _look_up(level, pose, centre)
    if inside.mean() < _MIN_INSIDE or value.max() == value.min():
        return np.inf, np.zeros((12, 12)), np.zeros(12)
    target = level.values[inside]
    lever = offset / _LEVERAGE_MM
    basis = np.column_stack([np.ones_like(value), value, value[:, None] * lever])
    gram = np.einsum("na,nb->ab", basis, basis)
    coefficients = np.linalg.solve(gram + 1e-9 * np.trace(gram) * np.eye(5), np.einsum("na,n->a", basis, target))
    residual = target - np.einsum("na,a->n", basis, coefficients)
    gain = coefficients[1] + np.einsum("na,a->n", lever, coefficients[2:])
    jacobian = gain[:, None] * np.column_stack(
        [(slopes[:, :, None] * lever[:, None, :]).reshape(-1, 9), slopes]
    )
    scale = 1 / (len(target) * target.var())
    normal = scale * np.einsum("na,nb->ab", jacobian, jacobian)
    right = scale * np.einsum("na,n->a", jacobian, residual)
    here, bend = _prior(pose.matrix, spread)
    bend = bend / _LEVERAGE_MM
    weight = 0.01
    normal[:9, :9] += weight * bend.T @ bend
    right[:9] -= weight * bend.T @ here
    cost = scale * float((residual**2).sum()) + weight * float((here**2).sum())
    if coefficients[1] <= 0: cost += 1
    return cost, normal, right


def refine_pose(level: _Level, pose: _Pose, centre: np.ndarray, spread: float, num_steps: int) -> _Pose:
    """Levenberg-Marquardt steps on ``1 - R^2`` plus the prior on size."""
    cost, normal, right = _equations(level, pose, centre, spread)
    pose = replace(pose, cost=cost)
    damping = 1e-2
    for _ in range(num_steps):
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), right)
        tried = _Pose(
            pose.matrix + step[:9].reshape(3, 3) / _LEVERAGE_MM, pose.place + step[9:]
        )
        cost, n2, r2 = _equations(level, tried, centre, spread)
        if cost < pose.cost:
            gained = pose.cost - cost
            pose, normal, right = replace(tried, cost=cost), n2, r2
            damping = max(damping / 4, 1e-4)
            if gained < 1e-5: break
        else:
            damping *= 8
            if damping > 1e4: break
    return pose
