"""What PSNR rewards losing: fine detail, contrast, and steps that should not be there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from medtranslate.metrics.similarity import bounding_box

BIN_WIDTH_PER_MM = 0.02
"""Width of the rings of the power spectrum, in cycles per mm; the same for every scan."""

_FLOOR = 1e-12
"""Share of the largest power below which a spectrum is rounding, not detail."""

_HISTOGRAM_BINS = 4096
"""Bins of the intensity histogram; sorting 2 million voxels instead takes a hundred times longer
and moves the distance by less than one bin."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Mean power by spatial frequency, whatever the direction.

    Attributes:
        bins: Shape ``(n,)``; numbers of the rings that hold a frequency. Ring ``b`` reaches from
            ``b`` to ``b + 1`` times ``BIN_WIDTH_PER_MM``.
        power: Same shape; mean squared magnitude.
    """

    bins: np.ndarray
    power: np.ndarray

    @property
    def frequency(self) -> np.ndarray:
        """Middles of the rings, in cycles per mm."""
        middles: np.ndarray = (self.bins + 0.5) * BIN_WIDTH_PER_MM
        return middles


def radial_power_spectrum(
    volume: np.ndarray, mask: np.ndarray, spacing: tuple[float, float, float]
) -> Spectrum:
    """Radially averaged power spectrum of the voxels in a mask.

    The mask's bounding box, less the mean inside the mask, 0 outside it, under a Hann window
    along each axis so that the box's faces are no edges; then the squared magnitude of its Fourier
    transform, averaged over rings of equal physical frequency, the constant left out. It reaches
    to the Nyquist frequency of the finest axis; beyond that of a coarser axis a ring holds only
    the directions that the grid can carry.

    Args:
        volume: Shape ``(i, j, k)``.
        mask: Boolean, same shape, not empty.
        spacing: Distance of voxel centres along each axis of ``volume``, in mm.

    Raises:
        ValueError: If the mask is empty.
    """
    from scipy.signal.windows import hann  # slow to import, and seldom needed

    box = bounding_box(mask)
    inside, values = mask[box], volume[box]
    tapered = np.where(inside, values - values[inside].mean(), 0.0)
    for axis, size in enumerate(tapered.shape):
        taper = hann(size + 2)[1:-1]  # without its two zeros, so that a single slice survives
        tapered *= np.expand_dims(taper, [other for other in range(3) if other != axis])
    power = np.abs(fft.rfftn(tapered)) ** 2
    rings, weights = _rings(tapered.shape, spacing)
    summed = np.bincount(rings.ravel(), weights=(weights * power).ravel())
    counted = np.bincount(rings.ravel(), weights=weights.ravel())
    found = np.flatnonzero(counted)
    return Spectrum(found, summed[found] / counted[found])


def _rings(
    shape: tuple[int, ...], spacing: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Ring of each coefficient of ``rfftn``, and for how many of the full transform it stands."""
    axes = [fft.fftfreq(n, d) for n, d in zip(shape[:2], spacing[:2], strict=True)]
    axes.append(fft.rfftfreq(shape[2], spacing[2]))
    i, j, k = np.meshgrid(*axes, indexing="ij", sparse=True)
    radius = np.sqrt(i**2 + j**2 + k**2)
    weights = np.full(radius.shape, 2.0)
    weights[:, :, 0] = 1.0
    if shape[2] % 2 == 0:
        weights[:, :, -1] = 1.0
    weights[(radius == 0) | (radius > 0.5 / min(spacing) * (1 + 1e-9))] = 0.0
    return (radius / BIN_WIDTH_PER_MM).astype(np.intp), weights


def spectrum_difference(reference: Spectrum, prediction: Spectrum) -> np.ndarray:
    """Power of the prediction over that of the reference, ring by ring, in dB.

    Below 0 the prediction has too little of that fineness: it is blurred; above 0 too much, such
    as noise.

    Raises:
        ValueError: If the two do not share their rings.
    """
    if not np.array_equal(reference.bins, prediction.bins):
        raise ValueError("the spectra have different rings: take both on one grid and mask")
    floor = _FLOOR * max(reference.power.max(initial=0.0), np.finfo(np.float64).tiny / _FLOOR)
    ratio = (prediction.power + floor) / (reference.power + floor)
    decibels: np.ndarray = 10 * np.log10(ratio)
    return decibels


def spectrum_distance(reference: Spectrum, prediction: Spectrum) -> float:
    """Log-spectral distance: root mean square of :func:`spectrum_difference` over the rings, in dB.

    0 for equal spectra; lower is better. A change of contrast counts too: half the contrast is
    6 dB everywhere.

    References:
        Gray and Markel, IEEE Trans. Acoustics, Speech, and Signal Processing 24:380, 1976.
    """
    return float(np.sqrt(np.mean(spectrum_difference(reference, prediction) ** 2)))


def gradient_ratio(
    reference: np.ndarray,
    prediction: np.ndarray,
    mask: np.ndarray,
    spacing: tuple[float, float, float],
) -> float | None:
    """Mean gradient magnitude of the prediction over that of the reference.

    Central differences in intensity per mm, at voxels whose six neighbours lie in the mask, so
    that the mask's edge is no gradient.

    Args:
        reference: Shape ``(i, j, k)``.
        prediction: Same shape and unit.
        mask: Boolean, same shape.
        spacing: Distance of voxel centres along each axis, in mm.

    Returns:
        1 if as steep as the reference, below 1 if blurred, above 1 if noisy or sharpened; None if
        no voxel has its neighbours in the mask or the reference is flat there.
    """
    inner = ndimage.binary_erosion(mask)
    if not inner.any():
        return None
    box = bounding_box(inner, margin=1)
    steepness = [
        np.linalg.norm(np.gradient(volume[box], *spacing), axis=0)[inner[box]].mean()
        for volume in (prediction, reference)
    ]
    return float(steepness[0] / steepness[1]) if steepness[1] > 0 else None


def histogram_distance(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Wasserstein distance of the intensities, wherever they lie.

    How far intensity must be moved, on average, to turn one histogram into the other. Histograms
    have 4096 bins over the common range, so the result is exact to one bin.

    Args:
        reference: Any shape, for example the voxels of a mask.
        prediction: Any shape, same unit.

    Returns:
        Distance in that unit, at least 0; lower is better.

    References:
        scipy.stats.wasserstein_distance.
    """
    from scipy.stats import wasserstein_distance  # slow to import, and seldom needed

    low = min(float(reference.min()), float(prediction.min()))
    high = max(float(reference.max()), float(prediction.max()))
    if low == high:
        return 0.0
    counts = [
        np.histogram(values, bins=_HISTOGRAM_BINS, range=(low, high))[0]
        for values in (reference, prediction)
    ]
    edges = np.linspace(low, high, _HISTOGRAM_BINS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    return float(wasserstein_distance(middles, middles, counts[0], counts[1]))


def through_plane_error(
    reference: np.ndarray, prediction: np.ndarray, mask: np.ndarray, *, spacing_mm: float
) -> float | None:
    """Mean absolute error of the step from one slice to the next, per mm: slice consistency.

    Slices that were predicted one by one and do not fit each other show here.

    Args:
        reference: Shape ``(slice, row, column)``.
        prediction: Same shape and unit.
        mask: Boolean, same shape; a step counts if both of its voxels lie in it.
        spacing_mm: Distance of neighbouring slices.

    Returns:
        Intensity per mm, at least 0; lower is better. None if no two slices touch in the mask.
    """
    both = mask[1:] & mask[:-1]
    if not both.any():
        return None
    error = prediction - reference
    return float(np.abs(np.diff(error, axis=0)[both]).mean() / spacing_mm)


def seam_score(
    reference: np.ndarray, prediction: np.ndarray, mask: np.ndarray, cells: np.ndarray
) -> float | None:
    """Jump of the error across the borders of prediction windows, relative to elsewhere.

    ``mean |e(next) - e(here)|`` over face neighbours in the mask that lie on two sides of a
    border, divided by the same over all other neighbours, with ``e = prediction - reference``:
    what the anatomy does cancels. Each axis is compared with itself and weighed by its neighbours
    across borders, so that anisotropic voxels cannot pass for seams.

    Args:
        reference: Shape ``(i, j, k)``.
        prediction: Same shape and unit.
        mask: Boolean, same shape.
        cells: Integers, same shape; differ between neighbours exactly where a border lies between
            them, as the colours of a chessboard do.

    Returns:
        1 if windows cannot be seen, above 1 if they can; None if no border crosses the mask or
        there is no error elsewhere to compare with.
    """
    error = prediction - reference
    across, expected = 0.0, 0.0
    for axis in range(error.ndim):
        ahead = [slice(None)] * error.ndim
        behind = list(ahead)
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        here, there = tuple(behind), tuple(ahead)
        inside = mask[here] & mask[there]
        border = inside & (cells[here] != cells[there])
        elsewhere = inside & ~border
        if not border.any() or not elsewhere.any():
            continue
        jump = np.abs(error[there] - error[here])
        across += float(jump[border].sum())
        expected += float(jump[elsewhere].mean()) * int(np.count_nonzero(border))
    return across / expected if expected > 0 else None
