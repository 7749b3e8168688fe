"""Prediction of a whole volume: at once where the memory allows, in blended windows elsewhere."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor
from torch.nn import functional
from torch.signal.windows import gaussian

from medtranslate.errors import MemoryShortageError
from medtranslate.inference.memory import free_bytes, is_out_of_memory
from medtranslate.inference.settings import InferenceSettings

_LOGGER = logging.getLogger(__name__)

SMALLEST_WINDOW = 48
"""Edge below which windows are not made smaller, however little memory there is."""

BYTES_PER_STITCHED_VOXEL = 24
"""What each voxel of the volume costs when windows are stitched: padded source, sums, weights."""

BYTES_PER_VOXEL = 500
"""Peak memory of a translator per voxel of the volume, if nobody says better (float32)."""

_FREE_MEMORY_SHARE = 0.5

_BLENDING_SIGMA = 0.125
"""Of the weights of a window, as a share of its edge."""

Translator = Callable[[Tensor], Tensor]
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class InferencePlan:
    """How one volume is predicted.

    Attributes:
        window: Voxels of a window along ``(i, j, k)``; None if the volume is predicted at once.
        overlap: Fraction by which windows overlap.
        reduced: Whether it was planned larger, and the memory did not suffice.
        why: Why windows, as a person reads it; empty for the whole volume.
    """

    window: tuple[int, int, int] | None
    overlap: float
    reduced: bool = False
    why: str = field(default="", compare=False)

    def to_json(self) -> dict[str, object]:
        """Plain data for a sidecar."""
        if self.window is None:
            return {"Window": None}
        found = {"Window": list(self.window), "Overlap": self.overlap, "Blending": "gaussian"}
        return found | ({"ReducedBecause": "out of memory"} if self.reduced else {})


def plan_inference(
    shape: tuple[int, int, int],
    *,
    settings: InferenceSettings,
    divisor: int = 1,
    bytes_per_voxel: int = BYTES_PER_VOXEL,
    device: torch.device | None = None,
) -> InferencePlan:
    """Decide between the whole volume and windows.

    Args:
        shape: Voxels of the volume along ``(i, j, k)``.
        settings: A window given here is always used, rounded up to a multiple of ``divisor``.
        divisor: The translator accepts multiples of this along every axis.
        bytes_per_voxel: Peak memory of the translator per voxel.
        device: Where the translator runs; the CPU if None.

    Returns:
        The plan; no window is larger than the padded volume. Without a window in the settings it is
        as large as the memory allows, and at least ``SMALLEST_WINDOW`` along every axis.
    """
    padded = _round_up(shape, divisor)
    if settings.window is not None:
        wanted = _round_up(settings.window, divisor)
        i, j, k = (min(w, p) for w, p in zip(wanted, padded, strict=True))
        return InferencePlan((i, j, k), settings.overlap, why="as inference.window says")
    limit = memory_limit(settings, device or torch.device("cpu"))
    whole = math.prod(padded) * bytes_per_voxel
    if whole <= limit:
        return InferencePlan(None, settings.overlap)
    stitching = math.prod(padded) * BYTES_PER_STITCHED_VOXEL
    window = _largest_window(padded, (limit - stitching) / bytes_per_voxel, divisor)
    needed = math.prod(window) * bytes_per_voxel + stitching
    return InferencePlan(window, settings.overlap, why=_tell_why(whole, needed, limit))


def predict(
    translate: Translator,
    source: Tensor,
    *,
    settings: InferenceSettings,
    divisor: int = 1,
    bytes_per_voxel: int = BYTES_PER_VOXEL,
) -> Tensor:
    """Translate a whole volume.

    The volume is padded with its edge values to a multiple of ``divisor`` and the padding is cut
    off again. Windows are blended with Gaussian weights, so that a constant stays constant.

    Args:
        translate: Maps ``(n, c, i, j, k)`` to the same spatial shape; called without gradients.
        source: Shape ``(c, i, j, k)``, normalised intensity, on the device of the translator.
        settings: Window, overlap and memory.
        divisor: The translator accepts multiples of this along every axis.
        bytes_per_voxel: Peak memory of the translator per voxel.

    Returns:
        Shape ``(c, i, j, k)`` of the translator's channels, float32, normalised target intensity;
        a plain tensor without record of applied operations.

    Raises:
        MemoryShortageError: If not even the smallest windows fit the memory.
        ValueError: If ``source`` is not a four-dimensional tensor, the translator changes the
            spatial shape, or the prediction is not finite.
    """
    if source.ndim != 4:
        raise ValueError(f"source has shape {tuple(source.shape)}, expected (c, i, j, k)")
    plain = source.as_subclass(Tensor).detach()
    i, j, k = plain.shape[1:]
    plan = plan_inference(
        (i, j, k),
        settings=settings,
        divisor=divisor,
        bytes_per_voxel=bytes_per_voxel,
        device=plain.device,
    )
    prediction, _ = with_smaller_windows(
        lambda plan: predict_with_plan(translate, plain, plan=plan, divisor=divisor),
        plan,
        (i, j, k),
        divisor=divisor,
    )
    if count := count_non_finite(prediction):
        raise ValueError(f"the prediction holds {count} non-finite voxels; the model is not usable")
    return prediction


def count_non_finite(prediction: Tensor) -> int:
    """How many voxels are infinite or not a number; where none is, the extremes tell."""
    if bool(torch.isfinite(torch.stack(torch.aminmax(prediction))).all()):
        return 0
    return int(torch.isfinite(prediction).logical_not().sum())


def with_smaller_windows(
    attempt: Callable[[InferencePlan], _Result],
    plan: InferencePlan,
    shape: tuple[int, int, int],
    *,
    divisor: int,
) -> tuple[_Result, InferencePlan]:
    """Predict as planned and, whenever the memory does not suffice, in windows of half the size.

    Args:
        attempt: Predicts with a plan.
        plan: The first to try.
        shape: Voxels of the volume along ``(i, j, k)``.
        divisor: The translator accepts multiples of this along every axis.

    Returns:
        What ``attempt`` gave, and the plan it was given.

    Raises:
        MemoryShortageError: If windows of ``SMALLEST_WINDOW`` voxels do not fit either.
    """
    while True:
        try:
            return attempt(plan), plan
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            smaller = _halve(plan, shape, divisor)
        # Outside the handler, which holds on to what the attempt had allocated.
        if smaller is None:
            raise MemoryShortageError(
                f"the memory does not suffice to predict {'x'.join(map(str, shape))} voxels, not"
                f" even in windows of {'x'.join(map(str, plan.window or shape))}. End what else is"
                " running, or predict on a machine with more memory"
            )
        plan = smaller
        _LOGGER.warning(
            "the memory does not suffice as planned; windows of %s voxels are tried",
            "x".join(map(str, plan.window or shape)),
        )


def _halve(plan: InferencePlan, shape: tuple[int, int, int], divisor: int) -> InferencePlan | None:
    """Windows of at most half as many voxels; None if they would be too small."""
    padded = _round_up(shape, divisor)
    before = plan.window or padded
    window = _largest_window(before, math.prod(before) / 2, divisor)
    if window == before:
        return None
    return InferencePlan(window, plan.overlap, reduced=True)


def predict_with_plan(
    translate: Translator, source: Tensor, *, plan: InferencePlan, divisor: int = 1
) -> Tensor:
    """Translate a whole volume as ``plan`` says; see :func:`predict`."""
    padding = _padding(source, divisor)
    with torch.inference_mode():
        # Without a name here, the padded source is gone before the result is copied.
        result = _translate(translate, _pad(source[None], padding), plan)
    starts = padding[4], padding[2], padding[0]
    region = tuple(
        slice(start, start + size) for start, size in zip(starts, source.shape[1:], strict=True)
    )
    return result[0][(slice(None), *region)].float().contiguous()


def _pad(source: Tensor, padding: tuple[int, ...]) -> Tensor:
    return functional.pad(source, padding, mode="replicate") if any(padding) else source


def _translate(translate: Translator, padded: Tensor, plan: InferencePlan) -> Tensor:
    if plan.window is None:
        result = translate(padded)
    else:
        result = _translate_windows(translate, padded, plan.window, plan.overlap)
    if result.shape[2:] != padded.shape[2:]:
        raise ValueError(
            f"the translator turned {tuple(padded.shape)} into {tuple(result.shape)};"
            " expected the same spatial shape"
        )
    return result


def _translate_windows(
    translate: Translator, padded: Tensor, window: tuple[int, int, int], overlap: float
) -> Tensor:
    # MONAI weighs the result in place, and a window is a view of the volume: without the copy a
    # translator that returns its input would spoil the windows that follow.
    result = sliding_window_inference(
        padded,
        window,
        1,
        lambda patch: translate(patch.clone()),
        overlap=overlap,
        roi_weight_map=weigh_window(window),
    )
    if not isinstance(result, Tensor):
        raise ValueError(f"the translator gave {type(result).__name__}, expected a tensor")
    return result


def weigh_window(window: tuple[int, int, int]) -> Tensor:
    """How much each voxel of a window counts where windows overlap: a Gaussian of each axis.

    MONAI's own weights end at 0.001 of the middle's. Near a face of the volume all are below that,
    so windows would count alike there, and their borders would show as seams.

    Args:
        window: Voxels along ``(i, j, k)``.

    Returns:
        Shape ``(i, j, k)``, at most 1, and nowhere 0: 3e-4 in the middle of a face, 4e-11 at a
        corner.
    """
    i, j, k = (gaussian(size, std=_BLENDING_SIGMA * size) for size in window)
    return i[:, None, None] * j[:, None] * k


def _tell_why(whole: float, needed: float, limit: float) -> str:
    """What the whole volume and the windows need, and what may be used, all in bytes."""
    allowing = math.ceil(whole / 1e8) / 10
    told = (
        f"the whole volume needs about {whole / 1e9:.3g} GB and {limit / 1e9:.3g} GB may be used;"
        f" --memory {allowing:g}G would allow it"
    )
    if needed > limit:
        told += f". Even the smallest windows need more than may be used: {needed / 1e9:.3g} GB"
    return told


def _largest_window(
    padded: tuple[int, int, int], num_voxels: float, divisor: int
) -> tuple[int, int, int]:
    """The volume's shape, its longest axis shortened again and again until it fits."""
    window, (smallest, _, _) = list(padded), _round_up((SMALLEST_WINDOW,) * 3, divisor)
    while math.prod(window) > num_voxels and max(window) > smallest:
        longest = window.index(max(window))
        window[longest] = max(window[longest] - divisor, smallest)
    i, j, k = window
    return i, j, k


def _round_up(shape: tuple[int, int, int], divisor: int) -> tuple[int, int, int]:
    i, j, k = (-(-size // divisor) * divisor for size in shape)
    return i, j, k


def _padding(source: Tensor, divisor: int) -> tuple[int, int, int, int, int, int]:
    """Voxels before and after, last axis first, as torch counts them."""
    missing = [-size % divisor for size in source.shape[1:]]
    i, j, k = ((n // 2, n - n // 2) for n in missing)
    return *k, *j, *i


def memory_limit(settings: InferenceSettings, device: torch.device) -> float:
    """Bytes that prediction may take: what was asked for, else half of what is free."""
    if settings.memory_gb is not None:
        return settings.memory_gb * 1e9
    return free_bytes(device) * _FREE_MEMORY_SHARE
