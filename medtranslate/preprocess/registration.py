"""Rigid registration of one scan onto another, and reading of ITK transform files.

LPS, the world of SimpleITK, exists only inside this module and ``bias.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from einops import rearrange
from scipy import ndimage

from medtranslate.errors import GeometryError, VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.preprocess.masks import find_head
from medtranslate.volume import Volume

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
_SEED = 1
_COARSE_MM, _FINE_MM = 6.0, 3.0
_SCALP_MM = 10.0
_NUM_SAMPLES = 100_000
_NUM_BINS = 32
_WORSE_SHARE = 0.02
_LEAST_INNER_SHARE = 0.2
_SINGLE_THREAD = threading.RLock()


@dataclass(frozen=True)
class RegistrationReport:
    """How a registration went.

    Attributes:
        mi_before: Mutual information (nats) with the headers as they are; 0 without overlap.
        mi_after: The same after registration.
        displacement_mm: Farthest that a corner of the patient's box moves.
        worse: The search ended clearly (2 %) below where it began: look at this pair. Whenever it
            ends no better than it began, the headers' position is kept.
    """

    mi_before: float
    mi_after: float
    displacement_mm: float
    worse: bool

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``preprocessing.json``."""
        return {
            "mi_before": self.mi_before,
            "mi_after": self.mi_after,
            "displacement_mm": self.displacement_mm,
            "worse": self.worse,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RegistrationReport:
        """The inverse of :meth:`to_json`."""
        return cls(**data)


@contextmanager
def single_thread() -> Iterator[None]:
    """ITK computes on one thread inside, so that sums do not depend on the number of cores."""
    with _SINGLE_THREAD:
        before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
        try:
            yield
        finally:
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def to_simpleitk(array: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """An ITK image (LPS) of an array ``(i, j, k)`` with its affine to RAS+ mm."""
    lps = _FLIP @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(rearrange(array, "i j k -> k j i")))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def read_itk_transform(path: Path) -> np.ndarray:
    """Read a linear ITK transform file.

    Args:
        path: ITK text file (``.txt``, ``.tfm``), points of the reference to points of the moving
            image, LPS mm.

    Returns:
        Shape ``(4, 4)``; the same map in RAS+ mm.

    Raises:
        VolumeReadError: If the file is absent, is no transform, or is not linear.
    """
    if not path.is_file():
        raise VolumeReadError(f"{path}: no such transform file")
    try:
        transform = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        raise VolumeReadError(f"{path}: not an ITK transform file that can be read") from error
    if transform.GetDimension() != 3 or not transform.IsLinear():
        raise VolumeReadError(
            f"{path}: {transform.GetName()}, expected a linear 3-D transform; "
            "apply a deformation before giving the scans"
        )
    world = _to_world(transform)
    if not np.isfinite(world).all() or abs(np.linalg.det(world)) < 1e-6:
        raise VolumeReadError(f"{path}: the transform cannot be inverted")
    return world


def register_rigid(fixed: Volume, moving: Volume) -> tuple[np.ndarray, RegistrationReport]:
    """Find the rigid motion that puts the moving scan onto the fixed one.

    Maximises Mattes mutual information from coarse to fine, starting from the headers or from the
    centres of mass, whichever fits better. Repeatable to the bit: one thread, fixed samples.

    Args:
        fixed: Where to register to; any contrast and grid.
        moving: What is moved; the grids may differ but the patient must be the same.

    Returns:
        Shape ``(4, 4)``: points of the fixed scan to points of the moving scan, RAS+ mm; and how
        it went. The identity where the search found nothing better.

    Raises:
        GeometryError: If the scans do not overlap wherever they are placed.

    References:
        Mattes et al., IEEE Trans. Medical Imaging 22:120, 2003.
    """
    head = find_head(fixed.voxels, fixed.geometry.spacing)
    if not head.any():
        raise GeometryError("registration: the fixed image is constant; nothing to register onto")
    with single_thread():
        coarse = _prepare_level(fixed, moving, np.ones_like(head), _COARSE_MM)
        found = _optimise(coarse, _choose_start(coarse))
        fine = _prepare_level(fixed, moving, _inner_part(head, fixed.geometry), _FINE_MM)
        headers = _headers_position(found)
        mi_before = _mutual_information(fine, headers)
        if mi_before > _mutual_information(fine, found):
            found = headers
        found = _optimise(fine, found)
        mi_after = _mutual_information(fine, found)
    if mi_after <= 0:
        raise GeometryError(
            f"registration: scans of {fixed.geometry.describe()} and {moving.geometry.describe()} "
            "share nothing; are they of the same person and body part?"
        )
    worse = mi_after < (1 - _WORSE_SHARE) * mi_before
    world = _to_world(found) if mi_after > mi_before else np.eye(4)
    displacement = float(_displacements(world, head, fixed.geometry).max())
    return world, RegistrationReport(mi_before, mi_after, displacement, worse)


@dataclass(frozen=True, eq=False)
class _Level:
    """Both images and the fixed mask at one resolution."""

    fixed: sitk.Image
    moving: sitk.Image
    mask: sitk.Image
    spacing_mm: float


def _prepare_level(fixed: Volume, moving: Volume, head: np.ndarray, spacing_mm: float) -> _Level:
    images = [  # the fixed one and the moving one
        sitk.SmoothingRecursiveGaussian(
            sitk.Cast(to_simpleitk(v.voxels, v.geometry.affine), sitk.sitkFloat32), spacing_mm / 2
        )
        for v in (fixed, moving)
    ]
    mask = to_simpleitk(head.astype(np.uint8), fixed.geometry.affine)
    size = [
        max(4, int(np.ceil(n * s / spacing_mm)))
        for n, s in zip(images[0].GetSize(), images[0].GetSpacing(), strict=True)
    ]
    grid = sitk.Image(size, sitk.sitkUInt8)
    grid.SetSpacing([spacing_mm] * 3)
    grid.SetDirection(images[0].GetDirection())
    grid.SetOrigin(images[0].GetOrigin())
    return _Level(
        sitk.Resample(images[0], grid, sitk.Transform(), sitk.sitkLinear, 0.0),
        images[1],
        sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0),
        spacing_mm,
    )


def _build_method(level: _Level) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_NUM_BINS)
    method.SetMetricFixedMask(level.mask)
    share = _NUM_SAMPLES / float(np.prod(level.fixed.GetSize()))
    method.SetMetricSamplingStrategy(method.REGULAR if share < 1 else method.NONE)
    method.SetMetricSamplingPercentage(min(1.0, share), _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    # ITK's gradient image is smoothed by the slice thickness: with 4 mm slices the descent then
    # leaves the minimum (measured on open_ms_long: 49 mm off; 0.3 mm without).
    method.MetricUseMovingImageGradientFilterOff()
    method.MetricUseFixedImageGradientFilterOff()
    return method


def _mutual_information(level: _Level, transform: sitk.Transform) -> float:
    """Mutual information in nats; 0 where the images do not overlap."""
    method = _build_method(level)
    method.SetInitialTransform(transform)
    try:
        return -float(method.MetricEvaluate(level.fixed, level.moving))
    except RuntimeError:  # ITK: all samples map outside the moving image
        return 0.0


def _choose_start(level: _Level) -> sitk.Euler3DTransform:
    """The headers' position or the one with equal centres of mass, whichever fits better."""
    centred = sitk.Euler3DTransform(
        sitk.CenteredTransformInitializer(
            level.fixed,
            level.moving,
            sitk.Euler3DTransform(),
            sitk.CenteredTransformInitializerFilter.MOMENTS,
        )
    )
    headers = _headers_position(centred)
    better = _mutual_information(level, centred) > _mutual_information(level, headers)
    return centred if better else headers


def _headers_position(like: sitk.Euler3DTransform) -> sitk.Euler3DTransform:
    """The identity, turning about the same centre as ``like``."""
    headers = sitk.Euler3DTransform()
    headers.SetCenter(like.GetCenter())
    return headers


def _inner_part(head: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The head without scalp and skull, where fat is shifted and faces are cut off.

    The whole head where little would be left.
    """
    steps = [max(1, int(_FINE_MM / s)) for s in geometry.spacing]
    thinned = head[:: steps[0], :: steps[1], :: steps[2]]
    spacing = [n * s for n, s in zip(steps, geometry.spacing, strict=True)]
    inner = ndimage.distance_transform_edt(thinned, sampling=spacing) > _SCALP_MM
    for axis, step in enumerate(steps):
        inner = np.repeat(inner, step, axis=axis)
    inner = inner[: head.shape[0], : head.shape[1], : head.shape[2]] & head
    enough = np.count_nonzero(inner) > _LEAST_INNER_SHARE * np.count_nonzero(head)
    return inner if enough else head


def _optimise(level: _Level, start: sitk.Euler3DTransform) -> sitk.Euler3DTransform:
    method = _build_method(level)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=level.spacing_mm / 4,
        minStep=level.spacing_mm / 1000,
        numberOfIterations=150,
        relaxationFactor=0.5,
        gradientMagnitudeTolerance=1e-6,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    found = sitk.Euler3DTransform(start)
    method.SetInitialTransform(found, inPlace=True)
    try:
        method.Execute(level.fixed, level.moving)
    except RuntimeError:  # ITK: the images slid apart; the caller compares with the start
        return sitk.Euler3DTransform(start)
    return found


def _to_world(transform: sitk.Transform) -> np.ndarray:
    """A linear LPS transform as a RAS+ matrix, from where it puts four points."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    for axis, point in enumerate(np.eye(3)):
        matrix[:3, axis] = np.array(transform.TransformPoint(point.tolist())) - origin
    matrix[:3, 3] = origin
    world: np.ndarray = _FLIP @ matrix @ _FLIP
    return world


def _displacements(world: np.ndarray, mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """How far each corner of the mask's box moves, in millimetres, shape ``(8,)``."""
    inside = np.argwhere(mask)
    corners = np.array(list(product(*zip(inside.min(axis=0), inside.max(axis=0), strict=True))))
    points = geometry.affine @ np.vstack([corners.T, np.ones(8)])
    moved: np.ndarray = np.linalg.norm((world @ points - points)[:3], axis=0)
    return moved
