"""One level for training targets and predictions of contrasts without a unit."""

from __future__ import annotations

import torch
from torch import Tensor

from medtranslate.networks.generator import Generator
from medtranslate.networks.levelling import level
from medtranslate.pipeline import Pipeline


def level_image(
    pipeline: Pipeline, generator: Generator, image: Tensor, *, inputs: Tensor, mask: Tensor
) -> Tensor:
    """Level a target or a prediction by the generator's starting map; CT passes as it is.

    Args:
        pipeline: Says whether the target has a unit.
        generator: Its starting map counts, not its correction.
        image: Shape ``(1, i, j, k)``, normalised target intensity.
        inputs: Shape ``(2, i, j, k)``, from ``make_inputs``, on the generator's device.
        mask: Shape ``(1, i, j, k)``, above 0 inside the patient.

    Returns:
        Shape ``(1, i, j, k)``, on the CPU.
    """
    if not pipeline.is_levelled:
        return image.cpu()
    with torch.inference_mode():
        start = generator.begin(inputs[None])[0]
    return level(image.float().cpu(), start.float().cpu(), mask.as_subclass(Tensor).cpu())
