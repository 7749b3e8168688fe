"""A source scan made worse on purpose, as scanners and protocols do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from medtranslate.phantom.artefacts import add_rician_noise, bias_field
from medtranslate.volume import CT_RANGE_HU, Volume

_BIAS_SCALE_MM = 100.0
_PERCENTILE = 99.5
_SEED = 0


@dataclass(frozen=True)
class Degradation:
    """One kind of damage in several strengths.

    Attributes:
        name: For tables, such as ``noise``.
        quantity: What a strength counts, with its unit.
        strengths: From weak to strong, none of them neutral.
        neutral: Strength that changes nothing.
        for_ct: Whether it can happen to CT, whose values are calibrated.
        apply: The damaged scan from the scan and a strength; same seed, same damage.
    """

    name: str
    quantity: str
    strengths: tuple[float, ...]
    neutral: float
    for_ct: bool
    apply: Callable[[Volume, float], Volume]


def add_noise(volume: Volume, strength: float) -> Volume:
    """Add noise: Rician to a magnitude image, as of MR; Gaussian to CT.

    Args:
        volume: Voxels of exactly 0 in an MR scan hold no measurement and stay so.
        strength: Standard deviation in each channel as a fraction of the 99.5th percentile of the
            voxels above the background.
    """
    background = background_of(volume)
    scanned = volume.voxels[volume.voxels > background].astype(np.float64)
    sigma = strength * float(np.percentile(scanned - background, _PERCENTILE))
    generator = np.random.default_rng(_SEED)
    if volume.unit == "HU":
        noise = sigma * generator.standard_normal(volume.geometry.shape)
        return _with_voxels(volume, volume.voxels + noise)
    noisy = add_rician_noise(volume.voxels.astype(np.float64), generator, sigma=sigma)
    return _with_voxels(volume, noisy)


def add_bias(volume: Volume, strength: float) -> Volume:
    """Multiply by a smooth random gain, ``exp(strength * texture)``.

    Args:
        volume: MR.
        strength: Standard deviation of the gain's logarithm; 0.2 is a gain of about 20 %.
    """
    texture = _smooth_texture(volume)
    return _with_voxels(volume, volume.voxels * bias_field(texture, strength=strength))


def lower_resolution(volume: Volume, strength: float) -> Volume:
    """Slices ``strength`` millimetres thick, brought back onto the grid by linear interpolation.

    A slice is the mean over its thickness; they lie side by side along the voxel axis with the
    largest spacing, of equal ones the one nearest to foot-head.

    Args:
        volume: Any scan.
        strength: Thickness in millimetres; one below the spacing changes nothing.
    """
    axis = through_plane_axis(volume)
    spacing = volume.geometry.spacing[axis]
    if strength <= spacing:
        return volume
    voxels = np.moveaxis(volume.voxels.astype(np.float64), axis, 0)
    # The mean over a thickness is a difference of the running integral, whole voxels or not.
    edges = np.arange(len(voxels) + 1) * spacing
    integral = np.concatenate([np.zeros_like(voxels[:1]), voxels.cumsum(axis=0) * spacing])
    count = max(1, int(np.ceil(edges[-1] / strength - 1e-9)))
    cuts = np.minimum(strength * np.arange(count + 1), edges[-1])
    at_cuts = _interpolate(integral, cuts / spacing)
    thick = np.diff(at_cuts, axis=0) / np.diff(cuts).reshape(-1, 1, 1)
    centres = (cuts[1:] + cuts[:-1]) / 2
    wanted = np.interp((np.arange(len(voxels)) + 0.5) * spacing, centres, np.arange(count))
    return _with_voxels(volume, np.moveaxis(_interpolate(thick, wanted), 0, axis))


def drop_slices(volume: Volume, strength: float) -> Volume:
    """Lose some slices: they hold nothing but background.

    Which ones is drawn once, so that those lost at a lower strength are lost at a higher too.

    Args:
        volume: Any scan.
        strength: Fraction lost of the slices that hold something, 0 to 1.
    """
    axis = through_plane_axis(volume)
    background = background_of(volume)
    voxels = np.moveaxis(volume.voxels, axis, 0)
    filled = np.flatnonzero((voxels > background).any(axis=(1, 2)))
    lost = np.random.default_rng(_SEED).permutation(filled)[: round(strength * len(filled))]
    damaged = volume.voxels.astype(np.float64)
    np.moveaxis(damaged, axis, 0)[lost] = background
    return replace(volume, array=damaged.astype(np.float32)[None])


def rescale_intensity(volume: Volume, strength: float) -> Volume:
    """Multiply every value by ``strength``, as another receiver gain does. MR only."""
    return _with_voxels(volume, volume.voxels * strength)


DEGRADATIONS: tuple[Degradation, ...] = (
    Degradation(
        "noise",
        "standard deviation (fraction of the 99.5th percentile)",
        (0.02, 0.05, 0.1),
        0.0,
        True,
        add_noise,
    ),
    Degradation(
        "bias field", "standard deviation of ln gain", (0.1, 0.2, 0.4), 0.0, False, add_bias
    ),
    Degradation("thicker slices", "thickness (mm)", (3.0, 5.0, 8.0), 0.0, True, lower_resolution),
    Degradation("missing slices", "fraction lost", (0.05, 0.1, 0.2), 0.0, True, drop_slices),
    Degradation("intensity", "factor", (0.25, 0.5, 2.0, 4.0), 1.0, False, rescale_intensity),
)
"""Every damage a model is tried with."""


def background_of(volume: Volume) -> float:
    """Value of empty space: 0, in CT the lower end of its range."""
    return CT_RANGE_HU[0] if volume.unit == "HU" else 0.0


def through_plane_axis(volume: Volume) -> int:
    """The voxel axis with the largest spacing; of equal ones the one nearest to foot-head."""
    spacing = volume.geometry.spacing
    thickest = max(spacing)
    candidates = [axis for axis in range(3) if spacing[axis] > 0.95 * thickest]
    upright = next(a for a, letter in enumerate(volume.geometry.orientation) if letter in "IS")
    return upright if upright in candidates else int(np.argmax(spacing))


def _with_voxels(volume: Volume, voxels: np.ndarray) -> Volume:
    """New values where the scan holds any: what was stripped before stays empty."""
    if volume.unit != "HU":
        voxels = np.where(volume.voxels == 0, 0.0, voxels)
    return replace(volume, array=voxels.astype(np.float32)[None])


def _interpolate(planes: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Linear interpolation along the first axis at fractional indices."""
    lower = np.clip(np.floor(positions).astype(int), 0, max(len(planes) - 2, 0))
    upper = np.minimum(lower + 1, len(planes) - 1)
    weight = (positions - lower).reshape(-1, 1, 1)
    mixed: np.ndarray = (1 - weight) * planes[lower] + weight * planes[upper]
    return mixed


def _smooth_texture(volume: Volume) -> np.ndarray:
    """A smooth random field of unit variance on the scan's grid, structures about 100 mm wide."""
    shape, spacing = volume.geometry.shape, volume.geometry.spacing
    extent = np.array(shape) * spacing
    nodes = np.maximum(np.ceil(extent / _BIAS_SCALE_MM).astype(int) + 1, 2)
    coarse = np.random.default_rng(_SEED).standard_normal(nodes)
    field = ndimage.zoom(coarse, np.array(shape) / nodes, order=3, mode="nearest")
    texture: np.ndarray = field / field.std()
    return texture
