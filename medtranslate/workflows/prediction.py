"""A loaded model at work: a prepared case in, a synthetic scan on the source's own grid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from medtranslate.checkpoint import LoadedModel, load_model
from medtranslate.data.cases import Case
from medtranslate.data.familiarity import Departure, TrainingRange, measure_traits
from medtranslate.data.scans import Selector
from medtranslate.data.split import Split
from medtranslate.errors import CheckpointError, ConfigError
from medtranslate.inference.predict import InferencePlan, plan_inference, predict_with_plan
from medtranslate.methods.baselines import HistogramMatch, lookup_from_weights, predict_baselines
from medtranslate.networks.generator import Generator
from medtranslate.networks.inputs import NUM_CHANNELS, make_inputs
from medtranslate.networks.settings import GeneratorSettings
from medtranslate.pipeline import Pipeline, build_generator, pipeline_from_json
from medtranslate.preprocess.loading import voxels_of
from medtranslate.preprocess.native import restore
from medtranslate.preprocess.preparation import Prepared, prepare
from medtranslate.volume import CT_RANGE_HU, Volume
from medtranslate.workflows.levelled import level_image
from medtranslate.workflows.train import HISTOGRAM_KEY, RANGE_KEY, make_fabric


@dataclass(frozen=True, eq=False)
class Prediction:
    """A synthetic scan and how it was made.

    Attributes:
        volume: On the source's own grid, in the model's stored unit.
        num_clipped: Voxels outside the CT range that were set to its ends; 0 for MR.
        plan: Whole volume or windows.
    """

    volume: Volume
    num_clipped: int
    plan: InferencePlan


@dataclass(frozen=True, eq=False)
class Translator:
    """A model ready to predict.

    Attributes:
        model: The folder it came from, checked.
        pipeline: The job it was trained by.
        generator: With the trained weights, on the device of ``fabric``.
        fabric: Device and precision.
    """

    model: LoadedModel
    pipeline: Pipeline
    generator: Generator
    fabric: Fabric

    @property
    def target_suffix(self) -> str:
        """BIDS suffix of what is predicted, such as ``T2w`` or ``CT``."""
        return Selector.parse(self.pipeline.target).suffix

    @property
    def split(self) -> Split:
        """Which people trained, validated and were held out.

        Raises:
            CheckpointError: If the model does not say.
        """
        if "split" not in self.model.config:
            raise CheckpointError(f"{self.model.folder}: does not say who trained it")
        return Split.from_json(self.model.config["split"], where=str(self.model.folder))

    def prepare(self, case: Case, *, with_target: bool = False) -> Prepared:
        """Load a case and bring it onto the model grid; never looks at the target by default."""
        return prepare(
            self.pipeline.preprocess,
            name=case.name,
            source=case.source,
            target=case.target if with_target else None,
            mask=case.mask,
            transform=case.transform if with_target else None,
        )

    def predict(self, prepared: Prepared) -> Prediction:
        """Predict a whole scan and bring it back onto the source's own grid.

        Raises:
            CheckpointError: If the model predicts voxels that are not finite.
        """
        i, j, k = prepared.source.shape[1:]
        source = self.fabric.to_device(make_inputs(prepared.source, prepared.mask))
        divisor = self.pipeline.method.generator.divisor
        plan = plan_inference(
            (i, j, k),
            settings=self.pipeline.inference,
            divisor=divisor,
            bytes_per_voxel=estimate_memory(self.pipeline.method.generator),
            device=source.device,
        )
        with self.fabric.autocast():
            normalised = predict_with_plan(self.generator, source, plan=plan, divisor=divisor)
        bad = int((~torch.isfinite(normalised)).sum())
        if bad:
            raise CheckpointError(
                f"{prepared.name}: the model predicts {bad:,} voxels that are not finite; it cannot"
                " be used for this scan"
            )
        levelled = level_image(
            self.pipeline, self.generator, normalised, inputs=source, mask=prepared.mask
        )
        volume, num_clipped = self.restore(levelled, prepared)
        return Prediction(volume, num_clipped, plan)

    def predict_baselines(self, prepared: Prepared) -> dict[str, Volume]:
        """Predict with every baseline, brought back the same way."""
        normalised = predict_baselines(
            prepared.source,
            prepared.mask,
            histogram=self.histogram,
            lookup=lookup_from_weights(self.model.weights, prefix="lookup."),
            rank_lookup=lookup_from_weights(self.model.weights, prefix="rank_lookup."),
        )
        return {name: self.restore(image, prepared)[0] for name, image in normalised.items()}

    def restore(self, normalised: Tensor, prepared: Prepared) -> tuple[Volume, int]:
        """Stored values on the source's grid, background outside the mask; CT is clipped."""
        volume = restore(normalised, prepared, scale=self.model.scale, blank_outside_mask=True)
        volume = replace(volume, modality=self.target_suffix)
        if volume.unit != "HU":
            return volume, 0
        low, high = CT_RANGE_HU
        outside = (volume.array < low) | (volume.array > high)
        clipped = replace(volume, array=np.clip(volume.array, low, high))
        return clipped, int(np.count_nonzero(outside))

    def compare_with_training(self, prepared: Prepared) -> tuple[Departure, ...]:
        """How far a source lies outside the range of the training scans, property by property.

        Raises:
            CheckpointError: If the model does not say what it was trained on.
        """
        traits = measure_traits(
            voxels_of(prepared.source),
            voxels_of(prepared.mask) > 0,
            native=prepared.native,
            grid=prepared.grid,
        )
        return self.training_range.compare(traits)

    @property
    def training_range(self) -> TrainingRange:
        """What the training sources were like.

        Raises:
            CheckpointError: If the model does not say.
        """
        data = self.model.config.get(RANGE_KEY)
        try:
            if not isinstance(data, Mapping):
                raise ValueError("it is absent")
            return TrainingRange.from_json(data)
        except ValueError as error:
            raise CheckpointError(
                f"{self.model.folder}: the '{RANGE_KEY}' of its sources cannot be used ({error});"
                " train the model again"
            ) from error

    @property
    def histogram(self) -> HistogramMatch:
        """The histogram of the training split's targets.

        Raises:
            CheckpointError: If the model does not carry it.
        """
        data = self.model.config.get(HISTOGRAM_KEY)
        try:
            if not isinstance(data, Mapping):
                raise ValueError("it is absent")
            return HistogramMatch.from_json(data)
        except ValueError as error:
            raise CheckpointError(
                f"{self.model.folder}: the baseline '{HISTOGRAM_KEY}' cannot be used ({error});"
                " train the model again"
            ) from error


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


def load_translator(path: Path) -> Translator:
    """Load a model and build its generator.

    Args:
        path: Run folder or its ``model/``.

    Raises:
        CheckpointError: If the model is not whole, or does not fit this version.
    """
    model = load_model(path)
    data: Any = model.config.get("pipeline")  # Any: what JSON holds is checked below
    if not isinstance(data, dict):
        raise CheckpointError(f"{model.folder}: does not hold the pipeline it was trained by")
    try:
        pipeline = pipeline_from_json(data, where=str(model.folder / "config.json"))
    except ConfigError as error:
        raise CheckpointError(
            f"{model.folder}: made by another version of medtranslate:\n{error}"
        ) from error
    fabric = make_fabric(pipeline)
    generator = build_generator(pipeline)
    try:
        generator.load_state_dict(model.weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{model.folder}: the weights do not fit the network of its pipeline: {error}"
        ) from error
    fabric.to_device(generator)
    return Translator(model, pipeline, generator.eval(), fabric)
