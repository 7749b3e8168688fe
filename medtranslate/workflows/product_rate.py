"""What part of a device's speed an update reaches, beside that of matrix products."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_EDGES = {"cpu": 1024, "cuda": 8192}
_REPEATS = 5


def measure_product_rate(fabric: Fabric) -> float:
    """Operations a second of products of large square matrices, in the precision of ``fabric``."""
    edge = _EDGES.get(fabric.device.type, _EDGES["cuda"])
    drawn = torch.Generator(fabric.device).manual_seed(0)
    matrix = torch.rand(edge, edge, device=fabric.device, generator=drawn)
    with fabric.autocast():
        matrix = matrix.to((matrix[:8] @ matrix).dtype)
    seconds = [_time(fabric, lambda: matrix @ matrix) for _ in range(_REPEATS)]
    return float(2 * edge**3 / min(seconds))


def count_operations(work: Callable[[], object]) -> int:
    """Floating-point operations of the convolutions and products in ``work``, both ways."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def _time(fabric: Fabric, work: Callable[[], object]) -> float:
    wait_for(fabric.device)
    began = time.perf_counter()
    work()
    wait_for(fabric.device)
    return time.perf_counter() - began


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
