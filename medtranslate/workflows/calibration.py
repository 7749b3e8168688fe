"""Calibration of a model's uncertainty on its validation people, and where the model keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from medtranslate.checkpoint import LoadedModel
from medtranslate.errors import CheckpointError
from medtranslate.inference.predict import InferencePlan, with_smaller_windows
from medtranslate.inference.spread import Spread, measure_spread
from medtranslate.metrics.calibration import Calibration, calibrate
from medtranslate.networks.generator import Generator
from medtranslate.networks.inputs import make_inputs
from medtranslate.pipeline import Pipeline, build_generator
from medtranslate.preprocess.cache import PreparedArrays
from medtranslate.workflows.prediction_plan import plan_prediction
from medtranslate.workflows.training_start import need_target, training_mask
from medtranslate.workflows.views import autocast_by, predict_levelled_views

if TYPE_CHECKING:
    from lightning_fabric import Fabric

UNCERTAINTY_KEY = "uncertainty"
"""Key of the model's configuration that holds the calibration; None if none could be made."""


def calibrate_weights(
    pipeline: Pipeline,
    weights: Mapping[str, Tensor],
    people: Mapping[str, PreparedArrays],
    fabric: Fabric,
) -> Calibration | None:
    """Compare the spread of plain and mirrored prediction with the error of their mean.

    Args:
        pipeline: The whole job.
        weights: Of the generator, as the model will hold them.
        people: The validation people's prepared scans, by case name.
        fabric: Device and precision.

    Returns:
        The calibration; None where there is nothing to make it from: nobody validates, or training
        never mirrored a scan, so that a mirrored prediction says nothing.
    """
    if not people or not pipeline.is_mirrored:
        return None
    generator = build_generator(pipeline)
    generator.load_state_dict(weights)
    fabric.to_device(generator)
    return calibrate(
        _measure(pipeline, generator.eval(), people, fabric), seed=pipeline.training.seed
    )


def read_calibration(model: LoadedModel) -> Calibration:
    """What training stored.

    Raises:
        CheckpointError: If the model holds none, or it cannot be used.
    """
    data = model.config.get(UNCERTAINTY_KEY)
    if not isinstance(data, Mapping):
        raise CheckpointError(
            f"{model.folder}: its uncertainty was never calibrated: training needs validation"
            " people (split.val), mirrored patches (augmentation.flip_probability above 0) and"
            " this version of medtranslate; train the model again, or leave --uncertainty out"
        )
    try:
        return Calibration.from_json(data)
    except ValueError as error:
        raise CheckpointError(
            f"{model.folder}: '{UNCERTAINTY_KEY}' cannot be used ({error}); train the model again"
        ) from error


def _measure(
    pipeline: Pipeline,
    generator: Generator,
    people: Mapping[str, PreparedArrays],
    fabric: Fabric,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Deviation and absolute error of each person, voxels of the mask, normalised unit."""
    for name, arrays in people.items():
        mask = training_mask(arrays).numpy() > 0
        spread = _spread(pipeline, generator, name, arrays, fabric)
        error = np.abs(spread.mean.numpy() - need_target(arrays, name).numpy())
        yield spread.sd.numpy()[mask], error[mask]


def _spread(
    pipeline: Pipeline, generator: Generator, name: str, arrays: PreparedArrays, fabric: Fabric
) -> Spread:
    """Mean and deviation of a person's predictions, in windows as small as the memory demands."""
    i, j, k = arrays.source.shape[1:]

    def attempt(plan: InferencePlan) -> Spread:
        views = predict_levelled_views(
            pipeline,
            fabric,
            name=name,
            inputs=make_inputs(arrays.source, arrays.mask),
            mask=arrays.mask,
            plan=plan,
            run=autocast_by(fabric, generator),
        )
        return measure_spread(views)

    plan = plan_prediction(pipeline, (i, j, k), settings=pipeline.inference, device=fabric.device)
    divisor = pipeline.method.generator.divisor
    return with_smaller_windows(attempt, plan, (i, j, k), divisor=divisor)[0]
