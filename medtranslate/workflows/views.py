"""The predictions of one model for one case: as it is and, where training did so, mirrored."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from medtranslate.errors import CheckpointError
from medtranslate.inference.predict import InferencePlan, count_non_finite, predict_with_plan
from medtranslate.inference.processor import Computes
from medtranslate.inference.spread import predict_views
from medtranslate.networks.generator import Generator
from medtranslate.pipeline import Pipeline
from medtranslate.workflows.levelled import level_image


def predict_levelled_views(
    pipeline: Pipeline,
    processor: Computes,
    *,
    name: str,
    inputs: Tensor,
    mask: Tensor,
    plan: InferencePlan,
    run: Callable[[Tensor], Tensor],
) -> Iterator[Tensor]:
    """Levelled predictions on the model grid, one at a time.

    Args:
        pipeline: The job the generator was trained by.
        processor: Device and precision.
        name: Names the case in messages.
        inputs: Shape ``(2, i, j, k)``, RAS+, from :func:`make_inputs`.
        mask: Shape ``(1, i, j, k)``, above 0 inside the patient.
        plan: Whole volume or windows.
        run: What computes: as :meth:`Generator.predict_with`, or an engine that stands for it.

    Yields:
        Shape ``(1, i, j, k)``, normalised, on the CPU: the plain prediction, then the mirrored one
        (mirrored back) if the model saw mirrored scans in training.

    Raises:
        CheckpointError: If the model predicts voxels that are not finite.
    """
    # A whole volume is padded by the generator itself, in one pass with what else it does to it.
    divisor = 1 if plan.window is None else pipeline.method.generator.divisor

    def predict(shown: Tensor) -> Tensor:
        normalised = predict_with_plan(run, shown, plan=plan, divisor=divisor)
        if bad := count_non_finite(normalised[0]):
            raise CheckpointError(
                f"{name}: the model predicts {bad:,} voxels that are not finite; it cannot be used"
                " for this scan"
            )
        return normalised

    shown = processor.to_device(inputs)
    for image, start in predict_views(predict, shown, mirrored=pipeline.is_mirrored):
        yield level_image(pipeline, image[None], start=start[None], mask=mask)


def autocast_by(processor: Computes, generator: Generator) -> Callable[[Tensor], Tensor]:
    """The generator in the precision of ``processor``, answering as ``predict_with`` does."""

    def run(shown: Tensor) -> Tensor:
        with processor.autocast():
            return generator.predict_with(generator.correct, shown)

    return run
