"""A reference made ready to be scored against: scaled, cut into slices, its mask counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medtranslate.errors import ConfigError, DatasetError, GeometryError
from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import AnatomicalAxis, Protocol
from medtranslate.volume import IntensityScale, Volume

_LETTERS: dict[AnatomicalAxis, str] = {"axial": "IS", "coronal": "PA", "sagittal": "LR"}
_CT_HINT_HU = -500.0
_CT_HINT_SHARE = 0.05


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What every prediction of one case is scored against.

    Arrays are ``(slice, row, column)``: the voxel axis nearest to the protocol's direction first,
    counted as the file counts it.

    Attributes:
        reference: Float64, in scored units.
        mask: Boolean, same shape.
        scored: Shape ``(slices,)``; whether the slice has enough of its voxels in the mask.
        voxel_axis: Which of ``(i, j, k)`` the slices lie along.
        data_range: Range of scored units.
        background: Scored value of empty space.
        factor: What a stored reference value was divided by; 1 if not scaled.
        is_ct: Whether the scored unit is HU above the lower end of the CT range.
        protocol: The rule.
    """

    reference: np.ndarray
    mask: np.ndarray
    scored: np.ndarray
    voxel_axis: int
    data_range: float
    background: float
    factor: float
    is_ct: bool
    protocol: Protocol

    def bring(self, prediction: np.ndarray, *, scale: IntensityScale | None) -> np.ndarray:
        """A prediction in scored units, sliced as the reference.

        Args:
            prediction: Shape ``(i, j, k)``, as stored.
            scale: How its stored values became what its model predicts; used by ``sidecar``.

        Raises:
            DatasetError: If voxels are not finite, no percentile can be taken, or ``scale`` is
                needed and absent.
        """
        sliced = _slice_first(prediction, self.voxel_axis)
        if sliced.shape != self.reference.shape:
            raise ValueError(f"prediction has {sliced.shape} voxels, not {self.reference.shape}")
        _check_finite(sliced, what="prediction")
        if self.is_ct:
            return _clip_to_ct(sliced, self.protocol)
        # Fresh from ``_slice_first`` and nobody else's, so it is scaled in place.
        rule = self.protocol.scale
        if rule == "sidecar":
            if scale is None:
                raise DatasetError(
                    "prediction has no intensity scale in its sidecar; put the sidecar JSON beside "
                    "the prediction, or score with --scale shared"
                )
            sliced -= scale.offset
            sliced /= scale.factor
            return sliced
        factor = self.factor
        if rule == "each":
            factor = _percentile(sliced[self.mask], self.protocol, what="prediction")
        sliced /= factor
        return sliced


def make_yardstick(reference: Volume, mask: np.ndarray, protocol: Protocol) -> Yardstick:
    """Scale a reference by the protocol and find the slices that count.

    Args:
        reference: One channel; CT is known by its unit ``HU``.
        mask: Boolean, shape ``(i, j, k)``.
        protocol: The rule.

    Raises:
        ConfigError: If scale ``none`` comes without a data range.
        DatasetError: If voxels are not finite, the scale cannot be taken, no slice holds enough of
            the mask, or the values look like CT but are not declared to be.
        GeometryError: If the mask has another shape or is empty.
    """
    if mask.shape != reference.geometry.shape:
        raise GeometryError(
            f"mask has shape {mask.shape}, reference {reference.geometry.shape}; resample the mask"
            " onto the reference's grid"
        )
    if not mask.any():
        raise GeometryError("mask is empty: there is no voxel to score; give another mask")
    voxel_axis = find_voxel_axis(reference.geometry, protocol.axis)
    sliced = _slice_first(reference.voxels, voxel_axis)
    sliced_mask = np.ascontiguousarray(np.moveaxis(mask.astype(bool, copy=False), voxel_axis, 0))
    _check_finite(sliced, what="reference")
    is_ct = reference.unit == "HU"
    if is_ct:
        low, high = protocol.ct_range_hu
        scaled, factor, data_range = _clip_to_ct(sliced, protocol), 1.0, high - low
    else:
        factor, data_range = _find_scale(sliced, sliced_mask, reference, protocol)
        sliced /= factor
        scaled = sliced
    return Yardstick(
        reference=scaled,
        mask=sliced_mask,
        scored=_find_scored(sliced_mask, protocol),
        voxel_axis=voxel_axis,
        data_range=data_range,
        background=0.0,
        factor=factor,
        is_ct=is_ct,
        protocol=protocol,
    )


def require_same_grid(reference: Geometry, other: Geometry, *, what: str) -> None:
    """Refuse to compare voxels that lie in different places.

    Args:
        reference: Grid of the reference.
        other: Grid to compare with it.
        what: Names the other scan in the message.

    Raises:
        GeometryError: If the grids differ; the message describes both.
    """
    if reference.matches(other):
        return
    mine, theirs = reference.describe(), other.describe()
    if mine == theirs:
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in reference.shape])).reshape(3, -1)
        moved = (other.affine - reference.affine)[:3] @ np.vstack([corners, np.ones(8)])
        theirs += f", up to {np.linalg.norm(moved, axis=0).max():.2f} mm away"
    raise GeometryError(
        f"reference and {what} lie on different grids (reference {mine}; {what} {theirs}). "
        f"Resample the {what} onto the reference's grid first; scores are never resampled silently"
    )


def find_voxel_axis(geometry: Geometry, axis: AnatomicalAxis) -> int:
    """Which of ``(i, j, k)`` runs nearest to the direction that ``axis`` slices cut across."""
    letters = _LETTERS[axis]
    return next(
        position for position, letter in enumerate(geometry.orientation) if letter in letters
    )


def _slice_first(voxels: np.ndarray, voxel_axis: int) -> np.ndarray:
    return np.array(np.moveaxis(voxels, voxel_axis, 0), dtype=np.float64, order="C")


def _check_finite(voxels: np.ndarray, *, what: str) -> None:
    if not np.isfinite(voxels).all():
        bad = voxels.size - int(np.count_nonzero(np.isfinite(voxels)))
        raise DatasetError(
            f"{what} holds {bad:,} voxels that are NaN or infinite; replace them before scoring"
        )


def _clip_to_ct(voxels: np.ndarray, protocol: Protocol) -> np.ndarray:
    """HU above the lower end of the range, so that air is 0 and SSIM's luminance has a zero."""
    low, high = protocol.ct_range_hu
    above: np.ndarray = np.clip(voxels, low, high) - low
    return above


def _find_scale(
    sliced: np.ndarray, mask: np.ndarray, reference: Volume, protocol: Protocol
) -> tuple[float, float]:
    """Factor that divides the reference, and the range of what comes out."""
    if protocol.scale == "none":
        if protocol.data_range is None:
            raise ConfigError(
                "--scale none needs --data-range: the intensity difference that counts as the peak "
                "of PSNR and the range of SSIM"
            )
        return 1.0, protocol.data_range
    if reference.modality is None:
        _refuse_unnamed_ct(sliced)
    return _percentile(sliced[mask], protocol, what="reference"), 1.0


def _refuse_unnamed_ct(sliced: np.ndarray) -> None:
    share = np.count_nonzero(sliced < _CT_HINT_HU) / sliced.size
    if share > _CT_HINT_SHARE:
        raise DatasetError(
            f"{100 * share:.0f} % of the reference lies below {_CT_HINT_HU:.0f}, which looks like "
            "CT in HU, but nothing says so. Name the file as CT (sub-01_ct.nii.gz), or state the "
            "range: --scale none --data-range 4095"
        )


def _percentile(inside: np.ndarray, protocol: Protocol, *, what: str) -> float:
    value = float(np.percentile(inside, protocol.percentile))
    if value <= 0:
        raise DatasetError(
            f"{what}: percentile {protocol.percentile:g} inside the mask is {value:g}, expected a "
            "positive number to divide by; check mask and image, or use --scale none --data-range"
        )
    return value


def _find_scored(mask: np.ndarray, protocol: Protocol) -> np.ndarray:
    share = np.count_nonzero(mask, axis=(1, 2)) / mask[0].size
    scored: np.ndarray = (share >= protocol.min_mask_fraction) & (share > 0)
    if not scored.any():
        raise DatasetError(
            f"no {protocol.axis} slice has {100 * protocol.min_mask_fraction:g} % of its voxels in "
            f"the mask (the fullest has {100 * share.max():.2g} %); give a larger mask, or crop "
            "reference, prediction and mask to the body part"
        )
    return scored
