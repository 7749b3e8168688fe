"""Our own steps of the MONAI chain: what MONAI has no transform for."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.croppad.array import Crop
from monai.transforms.croppad.dictionary import Cropd
from monai.transforms.spatial.array import ResampleToMatch
from monai.transforms.transform import MapTransform, Transform

from medtranslate.errors import GeometryError, VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.preprocess.atlas import find_brain
from medtranslate.preprocess.bias import correct_bias
from medtranslate.preprocess.intensity import measure_scale, normalise, share_scale
from medtranslate.preprocess.loading import affine_of, geometry_of, track, voxels_of
from medtranslate.preprocess.masks import find_mask, find_nonzero
from medtranslate.preprocess.morphology import find_box
from medtranslate.preprocess.registration import read_itk_transform, register_rigid
from medtranslate.preprocess.settings import (
    IntensitySettings,
    PreprocessSettings,
    SharedIntensity,
    WindowIntensity,
)
from medtranslate.provenance import hash_file, hash_volume
from medtranslate.volume import IntensityScale, Volume

# A MONAI dictionary holds tensors, paths and reports under their keys.
_Data = dict[Hashable, Any]

_KEPT_STILL_VOXELS = 0.1

LABELS = ("label", "later")
"""A labelled region of the source, and of the target, which go wherever those two go."""


def further_keys(names: Iterable[str]) -> list[str]:
    """Keys of further regions of the same labels, such as ``label-ventricles``."""
    return [f"{key}-{name}" for name in names for key in LABELS]


def _later_keys(data: Mapping[Hashable, Any]) -> list[str]:
    """Keys of every labelled region of the target that there is."""
    return [str(key) for key in data if str(key).partition("-")[0] == LABELS[1]]


class RecordInputs(Transform):
    """Note what came in: hashes of each input, and the source's own grid."""

    def __call__(self, data: Mapping[Hashable, Any]) -> _Data:
        """Add ``inputs`` (role to SHA-256) and ``native`` (:class:`Geometry`)."""
        result = dict(data)
        roles = [role for role in ("source", "target", "mask", *LABELS) if role in result]
        result["inputs"] = {
            r: hash_volume(voxels_of(result[r]), affine_of(result[r])) for r in roles
        }
        if "transform" in result:
            result["inputs"]["transform"] = hash_file(Path(result["transform"]))
        result["native"] = geometry_of(result["source"])
        return result


class AlignTarget(Transform):
    """Move the target's affine onto the source; no voxel is touched."""

    def __init__(self, align: str, *, register_same_grid: bool = False) -> None:
        """Take ``none``, ``rigid`` or ``transforms``; the second is for ``rigid`` alone."""
        self._align = align
        self._register_same_grid = register_same_grid

    def __call__(self, data: Mapping[Hashable, Any]) -> _Data:
        """Correct ``target``'s affine and add ``registration`` where one was made.

        Raises:
            GeometryError: If nothing aligns the two and their grids differ, or they share nothing.
            VolumeReadError: If a transform file is needed and absent or unusable.
        """
        result = dict(data)
        if "target" not in result:
            return result
        target: MetaTensor = result["target"]
        fixed, moving = geometry_of(result["source"]), geometry_of(target)
        if self._align == "none":
            _require_one_grid(result["name"], fixed, moving)
            return result
        if self._align == "rigid":
            if fixed.matches(moving) and not self._register_same_grid:
                return result
            world, result["registration"] = register_rigid(
                Volume(voxels_of(result["source"])[None], fixed),
                Volume(voxels_of(target)[None], moving),
            )
            if result["registration"].displacement_mm < _KEPT_STILL_VOXELS * min(fixed.spacing):
                return result
        elif "transform" in result:
            world = read_itk_transform(Path(result["transform"]))
        elif fixed.matches(moving):
            return result
        else:
            raise VolumeReadError(
                f"{result['name']}: preprocess.align is 'transforms' but there is no transform "
                "file from the target to the source; add one, or set preprocess.align: rigid"
            )
        for key in ("target", *_later_keys(result)):
            moved = track(voxels_of(result[key]), like=result[key])
            moved.affine = torch.as_tensor(np.linalg.solve(world, affine_of(result[key])))
            result[key] = moved
        return result


def _require_one_grid(name: str, fixed: Geometry, moving: Geometry) -> None:
    if not fixed.matches(moving):
        raise GeometryError(
            f"{name}: source and target lie on different grids (source {fixed.describe()}; target "
            f"{moving.describe()}). Set preprocess.align: rigid to register them, or "
            "preprocess.align: transforms if the dataset has transform files"
        )


class ReadLabels(Transform):
    """Labelled regions as 0 and 1, each on the grid of its scan."""

    def __init__(
        self,
        values: tuple[int, ...] = (),
        further: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        """Take the values that make up the region, every one above 0 if empty; others by name."""
        self._values = values
        self._further = dict(further or {})

    def __call__(self, data: Mapping[Hashable, Any]) -> _Data:
        """Replace ``label`` and ``later`` by 0 and 1, checked; add ``label-NAME``, ``later-NAME``.

        Raises:
            GeometryError: If one lies on another grid than its scan.
        """
        result = dict(data)
        for key, scan in zip(LABELS, ("source", "target"), strict=True):
            if key not in result:
                continue
            own, expected = geometry_of(result[key]), geometry_of(result[scan])
            if not own.matches(expected):
                raise GeometryError(
                    f"{result['name']}: the labels of the {scan} lie on another grid than it "
                    f"(labels {own.describe()}; scan {expected.describe()}). Resample them"
                )
            voxels = voxels_of(result[key])
            inside = np.isin(voxels, self._values) if self._values else voxels > 0
            for name, values in self._further.items():
                other = np.isin(voxels, values).astype(np.float32)
                result[f"{key}-{name}"] = track(other, like=result[key])
            result[key] = track(inside.astype(np.float32), like=result[key])
        return result


class CorrectBias(MapTransform):
    """N4 on every key."""

    def __call__(self, data: Mapping[Hashable, Any]) -> _Data:
        """Replace the voxels of each key by bias-corrected ones."""
        result = dict(data)
        for key in self.key_iterator(result):
            image: MetaTensor = result[key]
            affine = affine_of(image)
            # A given affine transform may shear the target; N4 needs its voxel sizes only.
            spacing = np.linalg.norm(affine[:3, :3], axis=0)
            voxels = voxels_of(image)
            i, j, k = voxels.shape
            corrected = correct_bias(voxels, Geometry((i, j, k), np.diag([*spacing, 1.0])))
            result[key] = track(corrected, like=image)
        return result


class FindMask(Transform):
    """Where the patient is, on the source's own voxels."""

    def __init__(self, name: str) -> None:
        """Take a key of ``MASKS``, ``brain`` or ``given``."""
        self._name = name

    def __call__(self, data: Mapping[Hashable, Any]) -> _Data:
        """Add ``mask`` as 0 and 1, made from ``source`` alone or checked if given.

        Raises:
            VolumeReadError: If the mask is absent, empty or holds fractions.
            GeometryError: If a given mask lies on another grid.
        """
        result = dict(data)
        source: MetaTensor = result["source"]
        geometry = geometry_of(source)
        if self._name == "given":
            inside = _check_given(result, geometry)
        elif self._name == "brain":
            brain = find_brain(Volume(voxels_of(source)[None], geometry))
            # A stripped scan is exactly 0 outside its own brain, whatever the atlas thinks.
            inside = brain & find_nonzero(voxels_of(source), geometry.spacing)
        else:
            inside = find_mask(
                self._name, voxels_of(source), geometry.spacing, where=f"{result['name']}: source"
            )
        result["mask"] = track(inside.astype(np.float32), like=source)
        return result


def _check_given(data: Mapping[Hashable, Any], geometry: Geometry) -> np.ndarray:
    if "mask" not in data:
        raise VolumeReadError(
            f"{data['name']}: preprocess.mask is 'given' but this case has no mask file"
        )
    own = geometry_of(data["mask"])
    if not own.matches(geometry):
        raise GeometryError(
            f"{data['name']}: the mask lies on another grid than the source (mask "
            f"{own.describe()}; source {geometry.describe()}). Resample the mask, or let "
            "preprocess.mask compute one"
        )
    voxels = voxels_of(data["mask"])
    if (voxels != np.rint(voxels)).any() or (voxels < 0).any() or not voxels.any():
        raise VolumeReadError(
            f"{data['name']}: the mask must hold whole numbers from 0, and not only 0"
        )
    return voxels > 0


class BringTargetOntoSource(Transform):
    """Put the target on the source's own grid: exactly if it lies there, else resampled once."""

    def __init__(self, intensity: IntensitySettings) -> None:
        """Take the target's intensity settings, for its background value."""
        self._background = intensity.low_hu if isinstance(intensity, WindowIntensity) else 0.0
        self._resample = ResampleToMatch(mode="bilinear", padding_mode="border")

    def __call__(self, data: Mapping[Hashable, Any]) -> _Data:
        """Replace ``target`` and add ``seen``: 1 where the target scan has voxels."""
        result = dict(data)
        if "target" not in result:
            return result
        source, target = result["source"], result["target"]
        if _same_grid(source, target):
            voxels = voxels_of(target)
            seen = np.ones(voxels.shape, dtype=bool)
        else:
            grid = geometry_of(source)
            seen = field_of_view(tuple(target.shape[1:]), affine_of(target), grid)
            if not seen.any():
                raise GeometryError(
                    f"{result['name']}: the target does not reach into the source's grid "
                    f"({grid.describe()}); are they of the same visit?"
                )
            voxels = voxels_of(self._resample(target, source))
            voxels = np.where(seen, voxels, np.float32(self._background))
        arrays = {"target": voxels, "seen": seen.astype(np.float32)}
        for key in _later_keys(result):
            later = result[key]
            same = _same_grid(source, later)
            arrays[key] = voxels_of(later if same else self._resample(later, source)) * seen
        for key, array in arrays.items():
            result[key] = track(array, like=source)
        return result


def _same_grid(source: MetaTensor, target: MetaTensor) -> bool:
    if source.shape != target.shape:
        return False
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in source.shape[1:]])).reshape(3, -1)
    points = np.vstack([corners, np.ones(8)])
    distance = np.abs((affine_of(source) - affine_of(target)) @ points)
    return bool(distance.max() <= 1e-2)


def field_of_view(shape: tuple[int, ...], affine: np.ndarray, grid: Geometry) -> np.ndarray:
    """Which voxels of ``grid`` have their centre inside the voxels of a scan.

    Args:
        shape: The scan's voxels along its axes.
        affine: The scan's voxel index to RAS+ mm; may be sheared.
        grid: Where to ask.

    Returns:
        Boolean, ``grid.shape``.
    """
    index = np.linalg.solve(affine, grid.affine)
    inside = np.ones(grid.shape, dtype=bool)
    i, j, k = (np.arange(n, dtype=np.float64) for n in grid.shape)
    for axis, size in enumerate(shape):
        a, b, c, offset = index[axis]
        position = a * i[:, None, None] + b * j[None, :, None] + c * k[None, None, :] + offset
        inside &= (position >= -0.5 - 1e-6) & (position <= size - 0.5 + 1e-6)
    return inside


class CropToMask(Cropd):
    """Cut off what lies outside the box around the mask plus a margin."""

    def __init__(self, keys: Collection[str], margin_mm: float) -> None:
        """Take the margin in millimetres; it ends where the grid ends."""
        super().__init__(keys, Crop(), allow_missing_keys=True)
        self._margin_mm = margin_mm

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> _Data:
        """Crop each key; none if the mask is empty."""
        result = dict(data)
        inside = voxels_of(result["mask"]) > 0.5
        if not inside.any():
            return result
        low, high = find_box(inside)
        spacing = np.array(geometry_of(result["mask"]).spacing)
        margin = np.ceil(self._margin_mm / spacing).astype(int)
        box = Crop.compute_slices(roi_start=low - margin, roi_end=high + margin)
        for key in self.key_iterator(result):
            result[key] = self.cropper(result[key], box)
        return result


class NormaliseIntensity(Transform):
    """Measure each image's scale inside the mask and bring it into normalised units."""

    def __init__(self, settings: PreprocessSettings) -> None:
        """Take the intensity settings of both sides."""
        self._settings = {"source": settings.source_intensity, "target": settings.target_intensity}

    def __call__(self, data: Mapping[Hashable, Any]) -> _Data:
        """Normalise ``source`` and ``target``; add ``source_scale`` and ``target_scale``.

        Raises:
            VolumeReadError: If a scale cannot be measured.
        """
        result = dict(data)
        mask = voxels_of(result["mask"]) > 0.5
        if not mask.any():
            raise VolumeReadError(
                f"{result['name']}: no voxel of the mask is left on the model grid; "
                "is preprocess.spacing_mm larger than the patient?"
            )
        for key, settings in self._settings.items():
            if key not in result:
                continue
            stored = voxels_of(result[key])
            inside = mask & (voxels_of(result["seen"]) > 0.5) if key == "target" else mask
            scale = self._measure(result, key, stored, inside)
            result[key] = track(normalise(settings, stored, scale), like=result[key])
            result[f"{key}_scale"] = scale
        return result

    def _measure(
        self, data: Mapping[Hashable, Any], key: str, stored: np.ndarray, inside: np.ndarray
    ) -> IntensityScale:
        settings, where = self._settings[key], f"{data['name']}: {key}"
        if not isinstance(settings, SharedIntensity):
            return measure_scale(settings, stored, inside, where=where)
        scale: IntensityScale = data["source_scale"]
        source = scale.restore(voxels_of(data["source"]))
        return share_scale(scale, source, stored, inside, where=where)
