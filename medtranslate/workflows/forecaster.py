"""A loaded progression model at work: a baseline in, its futures on its own grid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medtranslate.checkpoint import LoadedModel, check_weights, load_model
from medtranslate.data.covariates import ConditionCode, Covariates
from medtranslate.data.familiarity import RANGE_KEY, TrainingRange, measure_traits
from medtranslate.errors import CheckpointError, ConfigError
from medtranslate.geometry import Geometry
from medtranslate.methods.reaction_diffusion import GrowthRates, ReactionDiffusionSettings
from medtranslate.metrics.regions import measure_ml
from medtranslate.networks.progression import ProgressionNetwork
from medtranslate.pipeline import Pipeline, build_progression_network, pipeline_from_json
from medtranslate.preprocess.loading import voxels_of
from medtranslate.preprocess.native_motion import carry_displacement, carry_image, pull
from medtranslate.preprocess.preparation import Prepared, prepare
from medtranslate.volume import Volume
from medtranslate.workflows.device import choose_processor
from medtranslate.workflows.foresight import Foresight, look_ahead
from medtranslate.workflows.foresight_growth import GrowthForesight, foresee_growth
from medtranslate.workflows.scored_case import DrawnFutures
from medtranslate.workflows.speeds import SPEEDS_KEY, Speeds
from medtranslate.workflows.training_growth import rates_from_weights
from medtranslate.workflows.training_progression import CONDITIONS_KEY, INTERVALS_KEY, nearness_of

_FAR = 1.5

AnyForesight = Foresight | GrowthForesight
"""What a model says of one baseline, whatever kind of model it is."""


@dataclass(frozen=True, eq=False)
class NativeFuture:
    """A future on the baseline's own grid.

    Attributes:
        scan: In the baseline's own unit.
        field_mm: Shape ``(3, i, j, k)``, RAS+; pulls the baseline: ``future(x) = scan(x + field)``.
        region: Float32, shape ``(i, j, k)``; chance of each voxel to belong to the region.
    """

    scan: np.ndarray
    field_mm: np.ndarray
    region: np.ndarray


@dataclass(frozen=True, eq=False)
class Forecaster:
    """A progression model ready to simulate.

    Attributes:
        model: The folder it came from, checked.
        pipeline: The job it was trained by.
        network: With the trained weights, or the rates of a region that grows.
        code: How covariates become a vector.
        speeds: How much faster or slower people are.
        longest_years: The longest interval seen in training.
    """

    model: LoadedModel
    pipeline: Pipeline
    network: ProgressionNetwork | GrowthRates
    code: ConditionCode
    speeds: Speeds
    longest_years: float

    def is_extrapolation(self, years: float) -> bool:
        """Whether a time lies far beyond what training saw: one and a half times its longest."""
        return years > _FAR * self.longest_years

    def prepare_baseline(
        self, scan: Path, region: Path | None, *, region_values: tuple[int, ...] = (), name: str
    ) -> Prepared:
        """A scan to look ahead from, prepared as training's were.

        Args:
            scan: The baseline.
            region: Mask or segmentation of what is followed; None without one.
            region_values: Values of it that are followed, whatever training picked; every value
                above 0 if empty.
            name: For messages.
        """
        settings = self.pipeline.preprocess.model_copy(
            update={"region_values": region_values, "further_regions": {}}
        )
        return prepare(settings, name=name, source=scan, label=region)

    def look_ahead(self, prepared: Prepared, covariates: Covariates) -> AnyForesight:
        """Ask the model about a prepared baseline.

        Raises:
            ConfigError: If a covariate is unknown, or the region that grows is not given.
        """
        condition = torch.from_numpy(self.code.encode(covariates))
        if isinstance(self.network, GrowthRates):
            return foresee_growth(
                self.network,
                source=torch.from_numpy(voxels_of(prepared.source))[None],
                mask=torch.from_numpy(voxels_of(prepared.mask))[None],
                label=_need_region(prepared),
                spacing=prepared.grid.spacing,
            )
        nearness = None
        if self.network.settings.growing_region:
            nearness = nearness_of(_need_region(prepared), prepared.grid.affine)
        return look_ahead(
            self.network,
            source=prepared.source,
            mask=prepared.mask,
            condition=condition,
            nearness=nearness,
        )

    def develop(
        self,
        foresight: AnyForesight,
        prepared: Prepared,
        today: Volume,
        region: np.ndarray,
        *,
        years: float,
        speed: float = 1.0,
    ) -> NativeFuture:
        """One future; at 0 years the baseline itself, to the bit.

        Args:
            foresight: From :meth:`look_ahead`.
            prepared: The baseline on the model grid.
            today: The baseline as it lies in the file.
            region: Boolean, its shape; the region today.
            years: How far ahead.
            speed: 2 is a disease twice as fast.
        """
        onto, grid = today.geometry, prepared.grid
        if years == 0:
            still = np.zeros((3, *onto.shape), dtype=np.float32)
            return NativeFuture(today.voxels, still, region.astype(np.float32))
        future = foresight.at(years, speed=speed)
        field = carry_displacement(future.displacement[0].numpy(), grid, onto)
        added = carry_image(future.added[0, 0].numpy(), grid, onto)
        voxels = today.voxels.astype(np.float32)
        scan = pull(voxels, field, onto) + np.float32(prepared.source_scale.factor) * added
        if foresight.grows and prepared.label is not None:
            chance = _grow(foresight, prepared.label, prepared, onto, years=years, speed=speed)
        else:
            chance = _move(region, field, onto)
        return NativeFuture(scan, field, chance)

    def follow(
        self,
        foresight: AnyForesight,
        prepared: Prepared,
        onto: Geometry,
        region: np.ndarray,
        *,
        years: float,
        speed: float = 1.0,
    ) -> np.ndarray:
        """The region of :meth:`develop` without its scan: chance of each voxel, ``(i, j, k)``.

        Args:
            foresight: From :meth:`look_ahead`.
            prepared: The baseline on the model grid.
            onto: The baseline's own grid.
            region: Boolean, its shape; the region today.
            years: How far ahead.
            speed: 2 is a disease twice as fast.
        """
        if years == 0:
            return region.astype(np.float32)
        if foresight.grows and prepared.label is not None:
            return _grow(foresight, prepared.label, prepared, onto, years=years, speed=speed)
        moved = foresight.at(years, speed=speed).displacement[0].numpy()
        return _move(region, carry_displacement(moved, prepared.grid, onto), onto)

    def draw(
        self,
        foresight: AnyForesight,
        prepared: Prepared,
        onto: Geometry,
        region: np.ndarray,
        *,
        years: float,
        speeds: np.ndarray,
    ) -> DrawnFutures:
        """The region in futures of several speeds, ``(n,)`` with n above 0; see :meth:`follow`."""
        volumes, total = [], np.zeros(onto.shape, dtype=np.float32)
        for speed in map(float, speeds):
            chance = self.follow(foresight, prepared, onto, region, years=years, speed=speed)
            volumes.append(measure_ml(chance, onto))
            total += chance
        return DrawnFutures(np.array(volumes), total / np.float32(len(volumes)))

    def warnings(self, prepared: Prepared) -> list[str]:
        """How the baseline differs from the training scans, its voxel size before all."""
        traits = measure_traits(prepared.ascending, native=prepared.native, grid=prepared.grid)
        try:
            training = TrainingRange.from_json(self.model.config[RANGE_KEY])
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{self.model.folder}: no usable '{RANGE_KEY}'") from error
        return [one.warning for one in training.compare(traits) if one.outside]


def _grow(
    foresight: AnyForesight,
    label: torch.Tensor,
    prepared: Prepared,
    onto: Geometry,
    *,
    years: float,
    speed: float,
) -> np.ndarray:
    """Chance of a region that grows into tissue, on the baseline's own grid."""
    start = torch.from_numpy(voxels_of(label))[None]
    grown = foresight.region_at(start, years, speed=speed)[0, 0].numpy()
    chance: np.ndarray = np.clip(carry_image(grown, prepared.grid, onto), 0, 1)
    return chance


def _move(region: np.ndarray, field: np.ndarray, onto: Geometry) -> np.ndarray:
    """Chance of a region that moves with its tissue."""
    chance: np.ndarray = np.clip(pull(region.astype(np.float32), field, onto), 0, 1)
    return chance


def _need_region(prepared: Prepared) -> torch.Tensor:
    """Today's region on the model grid, ``(1, i, j, k)``."""
    if prepared.label is None:
        raise ConfigError(
            "this model grows a labelled region; give today's with --region MASK, or label it in"
            " the dataset as its training was"
        )
    return torch.from_numpy(voxels_of(prepared.label))[None]


def load_forecaster(path: Path) -> Forecaster:
    """Load a progression model.

    Args:
        path: Run folder or its ``model/``.

    Raises:
        CheckpointError: If the model is not whole, or does not fit this version.
        ConfigError: If it is a model of another task; names the right command.
    """
    model = load_model(path)
    config: Mapping[str, Any] = model.config
    if not isinstance(config.get("pipeline"), dict):
        raise CheckpointError(f"{model.folder}: does not hold the pipeline it was trained by")
    try:
        pipeline = pipeline_from_json(config["pipeline"], where=str(model.folder / "config.json"))
    except ConfigError as error:
        raise CheckpointError(
            f"{model.folder}: made by another version of medtranslate:\n{error}"
        ) from error
    if not pipeline.is_progression:
        build_progression_network(pipeline, num_conditions=0)  # refuses models of another task
    try:
        code = ConditionCode.from_json(config[CONDITIONS_KEY])
        speeds = Speeds.from_json(config[SPEEDS_KEY])
        longest = float(config[INTERVALS_KEY][1])
        network = _load_network(pipeline, model, code)
    except (KeyError, ValueError, IndexError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"{model.folder}: not a usable progression model ({error}); train it again"
        ) from error
    return Forecaster(model, pipeline, network, code, speeds, longest)


def _load_network(
    pipeline: Pipeline, model: LoadedModel, code: ConditionCode
) -> ProgressionNetwork | GrowthRates:
    if isinstance(pipeline.method, ReactionDiffusionSettings):
        return rates_from_weights(model.weights)
    check_weights(model, lambda: build_progression_network(pipeline, num_conditions=code.size))
    network = build_progression_network(pipeline, num_conditions=code.size)
    network.load_state_dict(model.weights)
    choose_processor(pipeline).to_device(network)
    return network.eval()
