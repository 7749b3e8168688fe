"""How a generator predicts a volume here: at once, or in windows that fit the memory."""

from __future__ import annotations

import torch

from medtranslate.inference.predict import InferencePlan, plan_inference
from medtranslate.inference.settings import InferenceSettings
from medtranslate.networks.inputs import NUM_CHANNELS
from medtranslate.networks.settings import GeneratorSettings
from medtranslate.pipeline import Pipeline


def plan_prediction(
    pipeline: Pipeline,
    shape: tuple[int, int, int],
    *,
    settings: InferenceSettings,
    device: torch.device,
) -> InferencePlan:
    """Decide between the whole volume and windows, by what the pipeline's generator takes.

    Args:
        pipeline: The job the generator is trained by.
        shape: Voxels of the volume along ``(i, j, k)``.
        settings: Window, overlap and memory.
        device: Where the generator runs.
    """
    return plan_inference(
        shape,
        settings=settings,
        divisor=pipeline.method.generator.divisor,
        bytes_per_voxel=estimate_memory(pipeline.generator_settings),
        device=device,
    )


def estimate_memory(generator: GeneratorSettings) -> int:
    """Peak bytes a voxel that a generator takes for prediction in float32, a little too high.

    A few maps at full resolution, and six of its first level behind the stem. Measured on the
    CPU: 159 (3d) and 435 (2.5d) for 16 channels behind a stem of 2, where this gives 176 and 480;
    627 and 868 for 32 channels without one, where it gives 896 and 1152.
    """
    dimensions = 3 if generator.dimensions == "3d" else 2
    shown = 2 * NUM_CHANNELS * (1 if dimensions == 3 else generator.neighbour_slices)
    maps = 4 * (generator.head_channels + shown)
    maps += 6 * generator.channels // generator.stem_factor**dimensions
    return int(4 * maps)
