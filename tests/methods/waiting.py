"""Sees whether the program waits for the device: whether it reads a tensor's value."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class CountsReads(TorchDispatchMode):
    """Counts values that are read from tensors: ``item()``, ``float()``, ``if tensor:``.

    On a GPU each of them waits until everything queued before is done. What other threads read is
    not counted: the program does not wait for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    # Any: what torch hands every operation
    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        if function is torch.ops.aten._local_scalar_dense.default:
            self.count += 1
        return function(*arguments, **(named or {}))
