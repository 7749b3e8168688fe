"""A loaded model at work: a prepared case in, a synthetic scan on the source's own grid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from medtranslate.checkpoint import LoadedModel, check_weights, load_model
from medtranslate.data.cases import Case
from medtranslate.data.familiarity import RANGE_KEY, Departure, TrainingRange, measure_traits
from medtranslate.data.scans import Selector
from medtranslate.errors import CheckpointError, ConfigError
from medtranslate.inference.engines import Engine, Engines
from medtranslate.inference.predict import InferencePlan, plan_inference, with_smaller_windows
from medtranslate.inference.processor import Processor
from medtranslate.inference.settings import InferenceChoices, InferenceSettings
from medtranslate.inference.spread import measure_spread
from medtranslate.methods.baselines import HistogramMatch, lookup_from_weights, predict_baselines
from medtranslate.metrics.calibration import Calibration
from medtranslate.networks.correction import CorrectionNetwork
from medtranslate.networks.generator import Generator
from medtranslate.networks.inputs import NUM_CHANNELS, make_inputs
from medtranslate.networks.settings import GeneratorSettings
from medtranslate.pipeline import Pipeline, build_generator, pipeline_from_json
from medtranslate.preprocess.native import restore
from medtranslate.preprocess.preparation import Prepared, prepare
from medtranslate.volume import CT_RANGE_HU, Volume
from medtranslate.watermark import WatermarkKey
from medtranslate.workflows.device import choose_processor
from medtranslate.workflows.train import HISTOGRAM_KEY
from medtranslate.workflows.views import predict_levelled_views

_AS_THE_PIPELINE_SAYS = InferenceChoices()


@dataclass(frozen=True, eq=False)
class Prediction:
    """A synthetic scan and how it was made.

    Attributes:
        volume: On the source's own grid, in the model's stored unit.
        num_clipped: Voxels outside the CT range that were set to its ends; 0 for MR.
        plan: Whole volume or windows.
        engine: What computed.
        sd: Voxel-wise standard deviation of the predictions that ``volume`` is the mean of, in its
            unit, 0 outside the mask; None if it is one prediction.
    """

    volume: Volume
    num_clipped: int
    plan: InferencePlan
    engine: Engine
    sd: Volume | None = None


@dataclass(frozen=True, eq=False)
class GridPrediction:
    """What a network predicts, on the model grid.

    Attributes:
        mean: Shape ``(1, i, j, k)``, normalised, on the CPU; the mean of all predictions.
        sd: Their voxel-wise standard deviation, same shape; None if there is one.
        plan: Whole volume or windows.
        engine: What computed.
    """

    mean: Tensor
    sd: Tensor | None
    plan: InferencePlan
    engine: Engine


@dataclass(frozen=True, eq=False)
class Translator:
    """A model ready to predict.

    Attributes:
        model: The folder it came from, checked.
        pipeline: The job it was trained by.
        generator: With the trained weights, on the device of ``processor``.
        processor: Device and precision.
        calibration: Makes intervals of standard deviations. With it a prediction is the mean of
            the plain, the mirrored and the companions' predictions, and has their deviation; None
            for plain predictions.
        companions: Further models that predict the same target from the same source.
        choices: What was asked for in place of the pipeline's inference settings.
        watermark: Whose watermark the scans that are written carry; None for no watermark.
        num_threads: Cores that exported graphs compute with; all if None.
    """

    model: LoadedModel
    pipeline: Pipeline
    generator: Generator
    processor: Processor
    calibration: Calibration | None = None
    companions: tuple[Translator, ...] = ()
    choices: InferenceChoices = _AS_THE_PIPELINE_SAYS
    watermark: WatermarkKey | None = None
    num_threads: int | None = None

    @property
    def target_suffix(self) -> str:
        """BIDS suffix of what is predicted, such as ``T2w`` or ``CT``."""
        return Selector.parse(self.pipeline.target).suffix

    @property
    def watermark_identity(self) -> str | None:
        """Which key the watermark is of, without telling it; None for no watermark."""
        return None if self.watermark is None else self.watermark.identity

    @property
    def inference(self) -> InferenceSettings:
        """The pipeline's settings, where nothing else was asked for."""
        return self.choices.apply_to(self.pipeline.inference)

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
            MemoryShortageError: If not even small windows fit the memory.
        """
        found = self.predict_on_grid(prepared, self.show(prepared))
        return self.bring_back(found, prepared)

    def predict_normalised(self, prepared: Prepared) -> Tensor:
        """Predict as :meth:`predict` does, and stay on the model grid in the normalised unit.

        Returns:
            Shape ``(1, i, j, k)``, on the CPU; not blanked outside the mask.

        Raises:
            CheckpointError: If the model predicts voxels that are not finite.
            MemoryShortageError: If not even small windows fit the memory.
        """
        return self.predict_on_grid(prepared, self.show(prepared)).mean

    def show(self, prepared: Prepared) -> Tensor:
        """What networks are shown of a scan: shape ``(2, i, j, k)``, on the CPU."""
        return make_inputs(prepared.source, prepared.mask, ascending=prepared.ascending)

    def predict_on_grid(self, prepared: Prepared, inputs: Tensor) -> GridPrediction:
        """The network's part of :meth:`predict`.

        Args:
            prepared: The scan.
            inputs: What :meth:`show` gives of it.

        Raises:
            CheckpointError: If the model predicts voxels that are not finite.
            MemoryShortageError: If not even small windows fit the memory.
        """
        views, plan = self._predict_views(prepared, inputs)
        engine = self.choose_engine(prepared)
        if self.calibration is None:
            return GridPrediction(views[0], None, plan, engine)
        others = (one._predict_views(prepared, inputs, all_views=True) for one in self.companions)
        more = chain.from_iterable(found for found, _ in others)  # one companion at a time
        spread = measure_spread(chain(views, more))
        return GridPrediction(spread.mean, spread.sd, plan, engine)

    def bring_back(self, found: GridPrediction, prepared: Prepared) -> Prediction:
        """From the model grid to the source's own, in stored values."""
        volume, num_clipped = self.restore(found.mean, prepared)
        sd = None if found.sd is None else self._restore_sd(found.sd, prepared)
        return Prediction(volume, num_clipped, found.plan, found.engine, sd)

    def _plan(self, prepared: Prepared) -> InferencePlan:
        i, j, k = prepared.source.shape[1:]
        return plan_inference(
            (i, j, k),
            settings=self.inference,
            divisor=self.pipeline.method.generator.divisor,
            bytes_per_voxel=estimate_memory(self.pipeline.generator_settings),
            device=self.processor.device,
        )

    @cached_property
    def engines(self) -> Engines:
        """What can compute the generator's prediction."""
        generator = self.generator  # and not the translator, which holds the engines
        return Engines(
            generator.correct,
            lambda: CorrectionNetwork(generator).eval(),
            generator.predict_with,
            num_channels=NUM_CHANNELS,
            num_exported_channels=2 * NUM_CHANNELS,
            divisor=self.pipeline.method.generator.divisor,
            autocast=self.processor.autocast,
            num_threads=self.num_threads,
        )

    def with_threads(self, num_threads: int) -> Translator:
        """The same model with graphs of its own, to predict beside others on some of the cores."""
        companions = tuple(one.with_threads(num_threads) for one in self.companions)
        return replace(self, num_threads=num_threads, companions=companions)

    def choose_engine(self, prepared: Prepared) -> Engine:
        """What computes the prediction of a case.

        Raises:
            MissingExtraError: If an engine was asked for that is not installed.
        """
        i, j, k = prepared.source.shape[1:]
        return self.engines.choose((i, j, k), self.processor.device, settings=self.inference)

    def _predict_views(
        self, prepared: Prepared, inputs: Tensor, *, all_views: bool = False
    ) -> tuple[list[Tensor], InferencePlan]:
        """Normalised predictions on the model grid, the plain one first, and how they were made."""
        count = None if all_views or self.calibration is not None else 1

        def attempt(plan: InferencePlan) -> list[Tensor]:
            views = predict_levelled_views(
                self.pipeline,
                self.processor,
                name=prepared.name,
                inputs=inputs,
                mask=prepared.mask,
                plan=plan,
                run=self.choose_engine(prepared).run,
            )
            return list(islice(views, count))

        i, j, k = prepared.source.shape[1:]
        divisor = self.pipeline.method.generator.divisor
        return with_smaller_windows(attempt, self._plan(prepared), (i, j, k), divisor=divisor)

    def windows_matter(self, plan: InferencePlan) -> bool:
        """Whether the whole volume would give another result than the windows of ``plan``.

        Group norm divides by the deviation of what it is shown, so a window is not a part of the
        whole. Networks without normalisation agree away from the borders of windows.
        """
        return plan.window is not None and self.pipeline.generator_settings.norm == "group"

    def predict_baselines(self, prepared: Prepared) -> dict[str, Volume]:
        """Predict with every baseline, brought back the same way."""
        normalised = self.predict_normalised_baselines(prepared)
        return {name: self.restore(image, prepared)[0] for name, image in normalised.items()}

    def predict_normalised_baselines(self, prepared: Prepared) -> dict[str, Tensor]:
        """Predict with every baseline; as :meth:`predict_normalised`."""
        return predict_baselines(
            prepared.source,
            prepared.mask,
            histogram=self.histogram,
            lookup=lookup_from_weights(self.model.weights, prefix="lookup."),
            rank_lookup=lookup_from_weights(self.model.weights, prefix="rank_lookup."),
        )

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
        traits = measure_traits(prepared.ascending, native=prepared.native, grid=prepared.grid)
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

    def _restore_sd(self, sd: Tensor, prepared: Prepared) -> Volume:
        """A deviation in the unit of the prediction, 0 outside the mask."""
        scale = replace(self.model.scale, offset=0.0)
        volume = restore(sd, prepared, scale=scale, blank_outside_mask=True)
        return replace(volume, modality=self.target_suffix)

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


def load_translator(path: Path, *, choices: InferenceChoices = _AS_THE_PIPELINE_SAYS) -> Translator:
    """Load a model and build its generator.

    Args:
        path: Run folder or its ``model/``.
        choices: What is asked for in place of the pipeline's inference settings.

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
    check_weights(model, lambda: build_generator(pipeline))
    processor = choose_processor(pipeline)
    generator = build_generator(pipeline)
    generator.load_state_dict(model.weights)
    processor.to_device(generator)
    return Translator(model, pipeline, generator.eval(), processor, choices=choices)
