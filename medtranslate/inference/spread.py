"""How far several predictions of one case lie apart: their mean and voxel-wise deviation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Spread:
    """Several predictions in two volumes.

    Attributes:
        mean: Voxel-wise mean, float32.
        sd: Voxel-wise population standard deviation (divided by n), same shape, 0 or more. Giving
            every prediction twice does not change it.
        count: How many predictions.
    """

    mean: Tensor
    sd: Tensor
    count: int


def mirror(volume: Tensor) -> Tensor:
    """Left and right exchanged: the first of the last three axes reversed, as in training."""
    return volume.flip(-3)


def predict_views(
    predict: Callable[[Tensor], Tensor], source: Tensor, *, mirrored: bool
) -> Iterator[Tensor]:
    """The predictions of one model, one at a time, all in the place of ``source``.

    Args:
        predict: Maps ``(c, i, j, k)`` to the same spatial shape.
        source: Shape ``(c, i, j, k)``, right to left along the first spatial axis (RAS+).
        mirrored: Also mirror the source, predict, and mirror the prediction back. Only of use for
            models that saw mirrored scans in training.

    Yields:
        The plain prediction, then the one that was mirrored and is mirrored back.
    """
    yield predict(source)
    if mirrored:
        yield mirror(predict(mirror(source)))


def measure_spread(predictions: Iterable[Tensor]) -> Spread:
    """Mean and standard deviation, in the memory of three volumes however many there are.

    The running update of Welford (Technometrics 1962;4:419-420), which loses no digits where the
    mean is large beside the deviation.

    Args:
        predictions: One or more tensors of one shape; consumed one at a time.

    Raises:
        ValueError: If there is no prediction, or their shapes differ.

    Example:
        >>> spread = measure_spread(torch.tensor([value]) for value in (1.0, 5.0))
        >>> spread.mean.item(), spread.sd.item()
        (3.0, 2.0)
    """
    count, mean, squares = 0, torch.empty(0), torch.empty(0)
    for prediction in predictions:
        value = prediction.float()
        if not count:
            mean, squares = torch.zeros_like(value), torch.zeros_like(value)
        if value.shape != mean.shape:
            raise ValueError(
                f"predictions have shapes {tuple(mean.shape)} and {tuple(value.shape)};"
                " expected one shape"
            )
        count += 1
        change = value - mean
        mean += change / count
        squares += change * (value - mean)
    if not count:
        raise ValueError("there is no prediction to measure the spread of")
    return Spread(mean, (squares / count).clamp_(min=0).sqrt_(), count)
