"""Work of a thread on the GPU in a queue of its own, beside what the program computes there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Batch = dict[str, Tensor]


class SideStream:
    """Makes batches on a GPU; whoever takes them over waits on the GPU alone, not in the program.

    What is drawn, copied and interpolated by a thread would else queue behind the step that is
    being computed, and the thread would wait for it with every copy.
    """

    def __init__(self, device: torch.device) -> None:
        """Open a queue on ``device``, an NVIDIA GPU."""
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # so in torch

    def make(self, work: Callable[[int], Batch], step: int) -> tuple[Batch, torch.cuda.Event]:
        """The batch of a step, and what is done when it is there."""
        with torch.cuda.stream(self._stream):
            batch = work(step)
            return batch, self._stream.record_event()

    def take_over(self, batch: Batch, made: torch.cuda.Event) -> Batch:
        """The batch, for the queue that the calling thread computes in."""
        current = torch.cuda.current_stream(self._stream.device)
        current.wait_event(made)
        for tensor in batch.values():
            # Its memory is given to nobody else before this queue is done with it.
            tensor.record_stream(current)
        return batch
