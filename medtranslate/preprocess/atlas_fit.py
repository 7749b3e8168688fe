"""Affine registration of a skull-stripped T1w template onto a T1w scan with or without skull.

Mutual information and plain correlation let the template grow until its brain covers the scalp;
here a prior on head size and the removal of everything brighter than brain prevent that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import SimpleITK as sitk
from einops import rearrange
from scipy import ndimage

from medtranslate.preprocess.masks import find_head
from medtranslate.preprocess.morphology import find_box
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
_DEEP_MM = -10.0
_UPPER = np.triu_indices(3)
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
class _Comparison:
    """Template and scan at one pose; ``n`` points of the template lie in the scan.

    Attributes:
        cost: What is minimised; infinite where too little lies in the scan.
        where: Shape ``(3, n)``; where in the scan, in voxels.
        lever: Shape ``(n, 3)``; offsets from the template's centre in levers.
        gain: Shape ``(n,)``; template intensity per scan intensity.
        residual: Shape ``(n,)``; template less what the scan explains of it.
        scale: Weight of a squared residual.
    """

    cost: float
    where: np.ndarray
    lever: np.ndarray
    gain: np.ndarray
    residual: np.ndarray
    scale: float


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
    near = _is_near(scan, middle)
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


def carry(
    distance: np.ndarray, back: np.ndarray, shape: tuple[int, int, int], *, below: float
) -> tuple[tuple[slice, slice, slice], np.ndarray]:
    """Interpolate a distance on another grid, only in the box where it is below a limit.

    Args:
        distance: Shape ``(i, j, k)``; at its border not below the limit.
        back: Shape ``(4, 4)``; voxel index of the other grid to voxel index of ``distance``.
        shape: Shape of the other grid.
        below: The limit.

    Returns:
        The box, and the distance inside it; empty if it is nowhere below the limit.
    """
    start, stop = _reach(distance < below, back, shape)
    carried = _interpolate(distance, back, start, stop - start, beyond=below)
    near = carried < below
    low, high = find_box(near) if near.any() else (np.zeros(3, dtype=int),) * 2
    i, j, k = map(slice, start + low, start + high)
    return (i, j, k), carried[tuple(map(slice, low, high))]


def _reach(
    region: np.ndarray, back: np.ndarray, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """First index and one past the last of a box of the other grid that holds the region."""
    low, high = find_box(region)
    # Interpolation reaches up to the next voxel outside the region.
    corners = np.array(list(product(*zip(low - 1, high, strict=True))))
    reached = _to_world(corners, np.linalg.inv(back))
    start = np.clip(np.floor(reached.min(axis=0)), 0, shape).astype(int)
    return start, np.clip(np.ceil(reached.max(axis=0)) + 1, start, shape).astype(int)


def _interpolate(
    voxels: np.ndarray, back: np.ndarray, start: np.ndarray, size: np.ndarray, *, beyond: float
) -> np.ndarray:
    """Linear interpolation in a box of another grid; by SimpleITK, in a third of SciPy's time."""
    # SimpleITK counts the axes of an array from the last one.
    matrix = back[:3, :3][::-1, ::-1].ravel().tolist()
    shift = (back[:3, :3] @ start + back[:3, 3])[::-1].tolist()
    image = sitk.Resample(
        sitk.GetImageFromArray(voxels),
        size[::-1].tolist(),
        sitk.AffineTransform(matrix, shift),
        sitk.sitkLinear,
        defaultPixelValue=beyond,
    )
    interpolated: np.ndarray = sitk.GetArrayFromImage(image)
    return interpolated


def _shrink(scan: _Scan) -> _Scan:
    """Average blocks of voxels so that none is much smaller than 2 mm."""
    spacing = np.linalg.norm(scan.affine[:3, :3], axis=0)
    sizes = np.clip((_WORKING_MM / spacing).astype(int), 1, scan.voxels.shape)
    total = scan.voxels
    for axis, size in enumerate(sizes.tolist()):
        total = _add_neighbours(total, axis, size)
    affine = scan.affine @ np.diag([*sizes, 1.0])
    affine[:3, 3] += scan.affine[:3, :3] @ ((sizes - 1) / 2)
    return _Scan(total / sizes.prod(), affine)


def _add_neighbours(voxels: np.ndarray, axis: int, num: int) -> np.ndarray:
    """Sums of ``num`` voxels in a row; axis after axis a fifth of the time of whole blocks."""
    line = np.moveaxis(voxels, axis, 0)
    line = line[: len(line) // num * num]
    total = line[::num].astype(np.float64)
    for n in range(1, num):
        total += line[n::num]
    return np.moveaxis(total, 0, axis)


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


def _is_near(scan: _Scan, middle: np.ndarray) -> np.ndarray:
    """Voxels less than 40 mm from a point."""
    index = rearrange(np.indices(scan.voxels.shape), "x i j k -> (i j k) x")
    squares = (_to_world(index, scan.affine) - middle) ** 2
    near: np.ndarray = squares.sum(axis=1).reshape(scan.voxels.shape) < _MIDDLE_MM**2
    return near


def _is_deep(scan: _Scan, pose: _Pose, template: Template) -> np.ndarray:
    """Voxels at least 10 mm inside the template's brain."""
    world = _pose_to_world(pose, template)
    back = np.linalg.inv(template.affine) @ np.linalg.inv(world) @ scan.affine
    box, distance = carry(template.distance_mm, back, scan.voxels.shape, below=_DEEP_MM)
    deep = np.zeros(scan.voxels.shape, dtype=bool)
    deep[box] = distance < _DEEP_MM
    return deep


def _darken_fat(native: _Scan, scan: _Scan, sample: np.ndarray) -> _Scan:
    """Set to 0 what is brighter than brain: scalp and marrow would outweigh everything else.

    At full resolution, before averaging leaves rims of fat as bright as brain.
    """
    if not sample.any():
        return scan
    limit = _BRIGHTER_THAN_BRAIN * np.percentile(scan.voxels[sample], 90)
    return _shrink(replace(native, voxels=np.where(native.voxels > limit, 0.0, native.voxels)))


def _smooth(voxels: np.ndarray, sigmas: np.ndarray, steps: list[int]) -> np.ndarray:
    """Smooth and keep every n-th voxel: axis after axis, what is dropped is not smoothed again."""
    for axis, (sigma, step) in enumerate(zip(sigmas, steps, strict=True)):
        smooth = ndimage.gaussian_filter1d(voxels, sigma, axis)
        voxels = smooth[(slice(None),) * axis + (slice(None, None, step),)]
    return voxels


def _make_level(template: Template, scan: _Scan, mm: float) -> _Level:
    """Template and scan smoothed by ``mm / 2``, their voxels about ``mm`` and ``mm / 2`` apart."""
    spacing = np.linalg.norm(template.affine[:3, :3], axis=0)
    step = max(1, round(mm / float(spacing[0])))
    keep = template.distance_mm[::step, ::step, ::step] < _RING_MM
    offsets = _to_world(step * np.argwhere(keep), template.affine) - template.centre
    values = _smooth(template.t1w, mm / 2 / spacing, [step] * 3)[keep]
    spacing = np.linalg.norm(scan.affine[:3, :3], axis=0)
    steps = np.maximum(1, (mm / 2 / spacing).astype(int)).tolist()
    thin = _smooth(scan.voxels, mm / 2 / spacing, steps)
    slopes = tuple(
        np.gradient(thin, axis=n) if thin.shape[n] > 1 else np.zeros_like(thin) for n in range(3)
    )
    to_voxel = np.linalg.inv(scan.affine @ np.diag([*steps, 1.0]))
    return _Level(offsets, values, thin, slopes, to_voxel)


def _compare(level: _Level, pose: _Pose, spread: float) -> _Comparison:
    index = _to_world(_to_world(level.offsets, _stack(pose)), level.to_voxel)
    upper = np.array(level.scan.shape) - 0.5
    inside = ((index >= -0.5) & (index <= upper)).all(axis=1)
    where = index[inside].T
    target, lever = level.values[inside], level.offsets[inside] / _LEVER_MM
    value = ndimage.map_coordinates(level.scan, where, order=1, mode="nearest")
    if inside.mean() < _MIN_SHARE_INSIDE or value.max() <= value.min():
        return _Comparison(np.inf, where, lever, value, target, 0.0)
    gain, residual = _explain(target, value, lever)
    scale = 1 / (len(target) * target.var())
    cost = scale * float((residual**2).sum()) + float(gain.mean() <= 0)
    cost += _PRIOR_WEIGHT * float(((_log_stretch(pose.matrix) / spread) ** 2).sum())
    return _Comparison(cost, where, lever, gain, residual, scale)


def _linearise(
    level: _Level, pose: _Pose, here: _Comparison, spread: float
) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations of one step, over nine matrix entries (times the lever) and the place."""
    voxel_slopes = np.stack(
        [ndimage.map_coordinates(s, here.where, order=1, mode="nearest") for s in level.slopes]
    )
    slopes = np.einsum("an,ab->nb", voxel_slopes, level.to_voxel[:3, :3])
    by_matrix = rearrange(slopes[:, :, None] * here.lever[:, None, :], "n a b -> n (a b)")
    jacobian = here.gain[:, None] * np.concatenate([by_matrix, slopes], axis=1)
    stretch, change = _differentiate_prior(pose.matrix, spread)
    normal = here.scale * np.einsum("na,nb->ab", jacobian, jacobian)
    right = here.scale * np.einsum("na,n->a", jacobian, here.residual)
    return normal + _PRIOR_WEIGHT * change.T @ change, right - _PRIOR_WEIGHT * change.T @ stretch


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


def _differentiate_prior(matrix: np.ndarray, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Unlikely size and shape of the head as six more residuals, their slopes by differences."""
    moved = matrix + 1e-5 * np.eye(9).reshape(9, 3, 3)
    here, there = _log_stretch(matrix) / spread, _log_stretch(moved) / spread
    slopes = np.zeros((6, 12))
    slopes[:, :9] = ((there - here) / 1e-5 / _LEVER_MM).T
    return here, slopes


def _log_stretch(matrix: np.ndarray) -> np.ndarray:
    """Logarithm of the stretch of ``(..., 3, 3)`` over the typical zoom, ``(..., 6)``."""
    squares, axes = np.linalg.eigh(matrix.mT @ matrix)
    logarithm = 0.5 * np.log(np.maximum(squares, 1e-6)) - np.log(_TYPICAL_ZOOM)
    upper: np.ndarray = ((axes * logarithm[..., None, :]) @ axes.mT)[..., *_UPPER]
    return upper


def _descend(level: _Level, pose: _Pose, spread: float, num_steps: int) -> tuple[_Pose, float]:
    """Levenberg-Marquardt from one pose; the best pose and its cost."""
    here = _compare(level, pose, spread)
    if not np.isfinite(here.cost):
        return pose, here.cost
    normal, right = _linearise(level, pose, here, spread)
    damping = 1e-2
    for _ in range(num_steps):
        if damping > 1e4:
            break
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), right)
        tried = _Pose(pose.matrix + step[:9].reshape(3, 3) / _LEVER_MM, pose.place + step[9:])
        there = _compare(level, tried, spread)
        if there.cost >= here.cost:
            damping *= 8
            continue
        gained, pose, here = here.cost - there.cost, tried, there
        if gained < 1e-5:
            break
        damping = max(damping / 4, 1e-4)
        normal, right = _linearise(level, pose, here, spread)
    return pose, here.cost


def _stack(pose: _Pose) -> np.ndarray:
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = pose.matrix, pose.place
    return world


def _pose_to_world(pose: _Pose, template: Template) -> np.ndarray:
    return _stack(replace(pose, place=pose.place - pose.matrix @ template.centre))
