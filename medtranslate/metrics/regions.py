"""Scores inside parts of the patient: labels, lesions, the boundary, and tissues of CT."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medtranslate.geometry import Geometry
from medtranslate.metrics.similarity import (
    SsimWindow,
    iterate_slabs,
    mean_absolute_error,
    mean_error,
    peak_signal_to_noise,
    ssim_map,
)

SHELL_VOXELS = 2
"""Thickness of the boundary shell."""

AIR_HU = -200.0
"""CT: below is air. Fat lies near -100 HU, so fat with its noise counts as soft tissue."""

BONE_HU = 150.0
"""CT: from here on is bone; also the threshold of bone Dice."""


@dataclass(frozen=True)
class RegionScores:
    """Scores over the voxels of one region.

    Attributes:
        voxels: How many there are.
        psnr: In dB; infinite where the arrays are equal.
        ssim: Mean over the region of the 3-D SSIM map.
        mae: Mean absolute error, in the unit of the arrays.
        me: Mean of prediction minus reference, same unit.
    """

    voxels: int
    psnr: float
    ssim: float
    mae: float
    me: float


def boundary_shell(mask: np.ndarray, *, thickness: int = SHELL_VOXELS) -> np.ndarray:
    """The outermost layers of a mask, on its inner side of the surface.

    Inside only: beyond the mask a synthetic scan may hold nothing but background. Layers are
    counted through voxel faces, in voxels and not in mm. Where the mask runs into the edge of the
    array the scan was cut off and no surface lies there.

    Args:
        mask: Boolean, shape ``(i, j, k)``.
        thickness: Layers.

    Returns:
        Boolean, same shape; empty if the mask fills the array.
    """
    inner = ndimage.binary_erosion(mask, iterations=thickness, border_value=1)
    shell: np.ndarray = mask & ~inner
    return shell


def split_tissues(reference_hu: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Air, soft tissue and bone by the Hounsfield units of the reference alone.

    No standard sets the limits: ``AIR_HU`` and ``BONE_HU`` are this toolkit's, and stand in every
    report. Noise of the reference decides on which side of a limit a voxel falls, so even a
    perfect noise-free prediction has a small negative ME in bone and a positive one in air.

    Args:
        reference_hu: Any shape, in HU.

    Yields:
        Name and boolean of the same shape; each voxel is in exactly one.
    """
    yield "air", reference_hu < AIR_HU
    yield "soft tissue", (reference_hu >= AIR_HU) & (reference_hu < BONE_HU)
    yield "bone", reference_hu >= BONE_HU


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice overlap of two regions, ``2 |A and B| / (|A| + |B|)``.

    Args:
        first: Boolean, any shape.
        second: Boolean, same shape.

    Returns:
        From 0, nothing in common, to 1, equal.

    Raises:
        ValueError: If both are empty.

    Example:
        >>> dice(np.array([True, True, False]), np.array([True, False, False]))
        0.6666666666666666
    """
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    if not total:
        raise ValueError("both regions are empty: they have no overlap")
    return 2 * int(np.count_nonzero(first & second)) / total


def ssim_in_mask(
    reference: np.ndarray,
    prediction: np.ndarray,
    mask: np.ndarray,
    *,
    data_range: float,
    window: SsimWindow,
    background: float = 0.0,
) -> np.ndarray:
    """The 3-D SSIM map at the voxels of a mask, both arrays set to the background outside it.

    Its mean is what :func:`medtranslate.metrics.similarity.masked_ssim` returns.

    Args:
        reference: Shape ``(i, j, k)``.
        prediction: Same shape and unit.
        mask: Boolean, same shape, not empty.
        data_range: Range of the intensities.
        window: Gaussian window and constants.
        background: Value of empty space.

    Returns:
        Shape ``(voxels of the mask,)``, in the order of ``reference[mask]``.
    """
    found = []
    for box, counted in iterate_slabs(mask, margin=window.radius):
        similarity = ssim_map(
            np.where(mask[box], reference[box], background),
            np.where(mask[box], prediction[box], background),
            data_range=data_range,
            window=window,
        )
        found.append(similarity[counted])
    return np.concatenate(found)


def score_region(
    reference: np.ndarray,
    prediction: np.ndarray,
    similarity: np.ndarray,
    region: np.ndarray,
    *,
    data_range: float,
) -> RegionScores:
    """Score one region.

    Args:
        reference: Any shape, for example the voxels of a mask.
        prediction: Same shape and unit.
        similarity: Same shape; the SSIM map, which saw the surroundings of each voxel.
        region: Boolean, same shape.
        data_range: Range of the intensities, for PSNR.

    Raises:
        ValueError: If shapes differ or the region is empty.
    """
    if similarity.shape != region.shape:
        raise ValueError(f"SSIM map has shape {similarity.shape}, region {region.shape}")
    return RegionScores(
        voxels=int(np.count_nonzero(region)),
        psnr=peak_signal_to_noise(reference, prediction, data_range=data_range, mask=region),
        ssim=float(similarity[region].mean()),
        mae=mean_absolute_error(reference, prediction, mask=region),
        me=mean_error(reference, prediction, mask=region),
    )


def measure_ml(region: np.ndarray, geometry: Geometry) -> float:
    """Volume of a region, or of chances, whose sum is their volume; millilitres."""
    return float(region.sum(dtype=np.float64)) * math.prod(geometry.spacing) / 1000
