"""One level for training targets and predictions of contrasts without a unit."""

from __future__ import annotations

from torch import Tensor

from medtranslate.networks.levelling import level
from medtranslate.pipeline import Pipeline


def level_image(pipeline: Pipeline, image: Tensor, *, start: Tensor, mask: Tensor) -> Tensor:
    """Level a target or a prediction by the generator's starting map; CT passes as it is.

    Args:
        pipeline: Says whether the target has a unit.
        image: Shape ``(1, i, j, k)``, normalised target intensity.
        start: Same shape, from :meth:`Generator.begin`.
        mask: Same shape, above 0 inside the patient.

    Returns:
        Same shape, on the CPU.
    """
    if not pipeline.is_levelled:
        return image.cpu()
    return level(image.float().cpu(), start.float().cpu(), mask.as_subclass(Tensor).cpu())
