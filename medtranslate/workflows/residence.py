"""Where prepared scans are kept while patches are cut from them."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from medtranslate.data.patches import TrainingCase
from medtranslate.inference.memory import free_bytes

_SHARE_OF_FREE = 0.25
"""Of what is free on a GPU; the rest is for the updates."""


def place_scans(cases: Iterable[TrainingCase], device: torch.device) -> torch.device:
    """The device that trains if it has the memory, else that of the processor.

    Args:
        cases: All that patches are cut from.
        device: What trains.
    """
    needed = sum(image.nbytes for case in cases for image in case.images.values())
    fits = needed <= _SHARE_OF_FREE * free_bytes(device)
    return device if device.type == "cuda" and fits else torch.device("cpu")
