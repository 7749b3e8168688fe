"""Score a pair of scans under a rule found in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from skimage.metrics import structural_similarity

from medtranslate.metrics.multiscale import multiscale_ssim, without_border
from medtranslate.metrics.rules import Rule, RuleMeasure, SsimRule
from medtranslate.metrics.similarity import (
    bounding_box,
    iterate_slabs,
    mean_absolute_error,
    peak_signal_to_noise,
)

_UNUSED_SIGMA = 1.5
"""scikit-image checks the width of the Gaussian window even where the window is uniform."""

_Pair = tuple[np.ndarray, np.ndarray]


def score_by_rule(
    rule: Rule, reference: np.ndarray, prediction: np.ndarray, mask: np.ndarray, *, is_ct: bool
) -> dict[RuleMeasure, float]:
    """Score one prediction under a rule.

    Args:
        rule: How to score.
        reference: Shape ``(slice, row, column)``, slices perpendicular to ``rule.axis`` and
            counted as the file counts them. CT in HU as stored; MR in a unit whose peak is 1.
        prediction: Same shape and unit.
        mask: Boolean, same shape, not empty.
        is_ct: Whether intensities are HU.

    Returns:
        Measure to value, in the order of ``rule.measures``; PSNR in dB, infinite where nothing
        differs; MAE in the unit of the arrays. A measure that the volume is too thin or the mask
        too small for is left out.

    Raises:
        ValueError: If the rule is not defined for such scans, shapes differ or the mask is empty.
    """
    if not rule.applies_to(is_ct=is_ct):
        raise ValueError(f"{rule.name} is defined for {rule.scans} only")
    if not reference.shape == prediction.shape == mask.shape:
        raise ValueError(f"shapes differ: {reference.shape}, {prediction.shape}, {mask.shape}")
    if not mask.any():
        raise ValueError("mask is empty: there is no voxel to score")
    stored = reference.astype(np.float64), prediction.astype(np.float64)
    pair = _scale(rule, stored, mask, is_ct=is_ct)
    data_range = float(pair[0].max()) if isinstance(rule.data_range, str) else rule.data_range
    region = mask if rule.region == "mask" else None
    found: dict[RuleMeasure, float] = {}
    for measure in rule.measures:
        if measure == "mae":
            value = mean_absolute_error(*stored, mask=region)
        elif measure != "psnr":
            value = _score_ssim(rule, pair, mask, data_range)
        elif rule.error_over == "volume":
            value = peak_signal_to_noise(*pair, data_range=data_range, mask=region)
        else:
            value = _score_slices(rule, pair, mask, data_range)
        if not np.isnan(value):
            found[measure] = value
    return found


def mean_ssim(
    reference: np.ndarray,
    prediction: np.ndarray,
    counted: np.ndarray,
    *,
    data_range: float,
    ssim: SsimRule,
) -> float:
    """Mean of scikit-image's SSIM map over some voxels, without a border of half a window.

    Where both windows hold the same values the map is exactly 1 and is not made.

    Args:
        reference: Shape ``(i, j)`` or ``(i, j, k)``.
        prediction: Same shape and unit.
        counted: Boolean, same shape.
        data_range: Range of the intensities.
        ssim: Window and constants.

    Returns:
        Similarity, at most 1, higher is better; NaN if no voxel is left to average over.
    """
    counted = without_border(counted, ssim.radius)
    number = int(np.count_nonzero(counted))
    different = reference != prediction
    if not number or not different.any():
        return 1.0 if number else np.nan
    near = np.zeros_like(counted)
    box = bounding_box(different, margin=ssim.radius)
    near[box] = counted[box]
    total = float(number - np.count_nonzero(near))
    for slab, here in iterate_slabs(near, margin=ssim.radius):
        _, similarity = structural_similarity(
            reference[slab],
            prediction[slab],
            win_size=ssim.size,
            data_range=data_range,
            gaussian_weights=ssim.window == "gaussian",
            sigma=ssim.sigma or _UNUSED_SIGMA,
            use_sample_covariance=ssim.covariance == "sample",
            K1=ssim.k1,
            K2=ssim.k2,
            full=True,
        )
        total += float(similarity[here].sum())
    return total / number


def _scale(rule: Rule, stored: _Pair, mask: np.ndarray, *, is_ct: bool) -> _Pair:
    """Both images as PSNR and SSIM take them; own maxima are taken slice by slice, later."""
    pair = stored
    if (background := rule.background_hu) is not None:
        pair = _each(pair, lambda image: np.where(mask, image, background))
    if is_ct and rule.clip_hu is not None:
        low, high = rule.clip_hu
        width = high - low if rule.scale == "range" else 1.0
        pair = _each(pair, lambda image: (np.clip(image, low, high) - low) / width)
    if rule.percentiles is not None:
        bottom, top = rule.percentiles
        pair = _each(pair, lambda image: _stretch(image, bottom, top))
    return pair


def _each(pair: _Pair, change: Callable[[np.ndarray], np.ndarray]) -> _Pair:
    return change(pair[0]), change(pair[1])


def _stretch(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Clipped to its own percentiles and brought to 0..1; an image without a range becomes 0."""
    bottom, top = np.percentile(image, [low, high])
    above: np.ndarray = np.clip(image, bottom, top) - bottom
    return above / (top - bottom) if top > bottom else above


def _planes(rule: Rule, pair: _Pair, mask: np.ndarray) -> Iterator[_Pair]:
    """The slices that count; one that has nothing above 0 cannot be divided by its own maximum."""
    for reference, prediction, inside in zip(*pair, mask, strict=True):
        if np.count_nonzero(inside) < rule.min_mask_fraction * inside.size:
            continue
        if rule.scale != "own maximum":
            yield reference, prediction
        elif reference.max() > 0 and prediction.max() > 0:
            yield reference / reference.max(), prediction / prediction.max()


def _score_slices(rule: Rule, pair: _Pair, mask: np.ndarray, data_range: float) -> float:
    """PSNR of whole slices, averaged; NaN if none counts."""
    values = [
        peak_signal_to_noise(*plane, data_range=data_range) for plane in _planes(rule, pair, mask)
    ]
    return float(np.mean(values)) if values else np.nan


def _score_ssim(rule: Rule, pair: _Pair, mask: np.ndarray, data_range: float) -> float:
    ssim = rule.ssim
    if ssim is None:
        raise ValueError(f"{rule.name} names SSIM as a measure but not its window")
    if ssim.scale_weights:
        return multiscale_ssim(
            *pair, mask, data_range=data_range, weights=ssim.scale_weights, size=ssim.size
        )
    if ssim.dimensions == 3:
        counted = mask if rule.region == "mask" else np.ones_like(mask)
        return mean_ssim(*pair, counted, data_range=data_range, ssim=ssim)
    values = [
        mean_ssim(*plane, np.ones_like(plane[0], bool), data_range=data_range, ssim=ssim)
        for plane in _planes(rule, pair, mask)
    ]
    return float(np.mean(values))
