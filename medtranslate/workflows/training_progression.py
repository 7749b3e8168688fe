"""How a progression model is trained: pairs of visits as patches, and scores of the follow-up."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from medtranslate.data.augmentation import build_shape_augmentation
from medtranslate.data.covariates import ConditionCode
from medtranslate.data.patches import PatchSampler, TrainingCase
from medtranslate.data.spill import spill_case
from medtranslate.data.visits import VisitPair
from medtranslate.errors import DatasetError
from medtranslate.geometry import Geometry
from medtranslate.networks.inputs import rank_voxels
from medtranslate.networks.nearness import measure_nearness
from medtranslate.networks.progression import REACH_MM, ProgressionNetwork
from medtranslate.pipeline import Pipeline, build_progression, build_progression_network
from medtranslate.preprocess.cache import PreparedArrays
from medtranslate.workflows.cohort import Cohort
from medtranslate.workflows.cohort_change import COHORT_CHANGE_KEY, measure_cohort_mean
from medtranslate.workflows.foresight import Foresight, look_ahead
from medtranslate.workflows.pacing import PacedPerson, fit_speed
from medtranslate.workflows.residence import place_scans
from medtranslate.workflows.speeds import SPEEDS_KEY, measure_speeds
from medtranslate.workflows.training_loop import mean_scores
from medtranslate.workflows.training_scores import draw_panels, score_on_grid
from medtranslate.workflows.training_start import need_target, training_mask
from medtranslate.workflows.training_task import TrainingTask

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CONDITIONS_KEY = "covariates"
"""Key of the model's configuration that says how covariates become a vector."""

INTERVALS_KEY = "intervals_years"
"""Key of the model's configuration that holds the shortest and longest training interval."""

_MODES = {"source": "bilinear", "ranks": "bilinear", "target": "bilinear", "mask": "nearest"}
_OTHER_MODES = {"inside": "nearest", "label": "bilinear", "later": "bilinear"} | {
    "nearness": "bilinear"
}

People = Mapping[str, PreparedArrays]


def start_progression(
    pipeline: Pipeline, cohort: Cohort, prepared: People, fabric: Fabric, *, folder: Path
) -> TrainingTask:
    """Learn how scans of a person change; images are spilled into ``folder``.

    Raises:
        DatasetError: If some training pairs have labels and others have none.
        ConfigError: If a covariate is known of nobody.
    """
    trained = [cohort.pairs[case.name] for case in cohort.part("train")]
    covariates = pipeline.visits.covariates if pipeline.visits else ()
    code = ConditionCode.fit(covariates, [pair.covariates for pair in trained])
    torch.manual_seed(pipeline.training.seed)
    network = build_progression_network(pipeline, num_conditions=code.size)
    method = build_progression(pipeline, network, fabric)
    sampler = _make_sampler(pipeline, trained, prepared, code, device=fabric.device, folder=folder)
    watched = [cohort.pairs[case.name] for case in cohort.part("val")]

    def validate(_: object) -> tuple[dict[str, float], np.ndarray | None]:
        return _validate(method.generator, watched, prepared, code, fabric)

    def load(weights: Mapping[str, Tensor]) -> ProgressionNetwork:
        network = build_progression_network(pipeline, num_conditions=code.size)
        network.load_state_dict(weights)
        fabric.to_device(network.eval())
        return network

    def finish(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        network = load(weights)
        views = ((pair, prepared[pair.name]) for pair in trained)
        effects = fit_speed(
            PacedPerson(
                _foresee(network, pair, arrays, code),
                arrays,
                pair.interval_years,
                code.encode(pair.covariates),
            )
            for pair, arrays in views
        )
        if effects is not None:
            network.set_speed(torch.from_numpy(effects))
        return {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}

    def describe(weights: Mapping[str, Tensor]) -> dict[str, Any]:
        network = load(weights)
        views = [(pair, prepared[pair.name]) for pair in watched or trained]
        speeds = measure_speeds(
            (_foresee(network, pair, arrays, code), arrays, pair.interval_years)
            for pair, arrays in views
        )
        intervals = [pair.interval_years for pair in trained]
        return {
            CONDITIONS_KEY: code.to_json(),
            INTERVALS_KEY: [min(intervals), max(intervals)],
            SPEEDS_KEY: speeds.to_json(),
            COHORT_CHANGE_KEY: measure_cohort_mean(
                (pair.name, prepared[pair.name], pair.interval_years) for pair in trained
            ).to_json(),
        }

    return TrainingTask(method, sampler, validate, describe, finish)


def _make_sampler(
    pipeline: Pipeline,
    pairs: list[VisitPair],
    prepared: People,
    code: ConditionCode,
    *,
    device: torch.device,
    folder: Path,
) -> PatchSampler:
    labelled = [prepared[pair.name].label is not None for pair in pairs]
    if any(labelled) and not all(labelled):
        without = [pair.name for pair, has in zip(pairs, labelled, strict=True) if not has]
        raise DatasetError(
            f"visits.labels: {', '.join(without)} lack labels of one of the visits; label them,"
            " leave those people out (split.exclude), or leave visits.labels out"
        )
    grows = pipeline.grows_region
    cases = [
        spill_case(_training_case(pair, prepared[pair.name], code, grows=grows), folder)
        for pair in pairs
    ]
    _need_further_regions(pipeline, cases)
    modes = _MODES | {key: _OTHER_MODES[key.partition("-")[0]] for key in cases[0].others}
    return PatchSampler(
        cases,
        patch_size=pipeline.training.patch_size,
        batch_size=pipeline.training.batch_size,
        seed=pipeline.training.seed,
        augmentation=partial(build_shape_augmentation, pipeline.augmentation, modes),
        device=place_scans(cases, device),
    )


def _need_further_regions(pipeline: Pipeline, cases: list[TrainingCase]) -> None:
    """Refuse a region that nobody has: its values are wrong."""
    for name, values in pipeline.preprocess.further_regions.items():
        if not any(case.others[f"label-{name}"].any() for case in cases):
            raise DatasetError(
                f"preprocess.further_regions: no training person has a voxel of '{name}' "
                f"({', '.join(map(str, values))}) in visits.labels; correct the values, or leave "
                "the region out"
            )


def _training_case(
    pair: VisitPair, arrays: PreparedArrays, code: ConditionCode, *, grows: bool
) -> TrainingCase:
    # Shown whole: what lies beside the mask moves into it.
    source = arrays.source.as_subclass(Tensor)
    others = {"inside": arrays.mask}
    if arrays.label is not None and arrays.later is not None:
        others |= {"label": arrays.label, "later": arrays.later, **arrays.further}
        if grows:
            others["nearness"] = nearness_of(arrays.label, arrays.affine)
    facts = {
        "years": torch.tensor(pair.interval_years, dtype=torch.float32),
        "condition": torch.from_numpy(code.encode(pair.covariates)),
    }
    return TrainingCase(
        source,
        rank_voxels(source, arrays.mask),
        need_target(arrays, pair.name),
        training_mask(arrays),
        name=pair.name,
        others=others,
        facts=facts,
    )


def nearness_of(label: Tensor, affine: np.ndarray) -> Tensor:
    """Nearness to a labelled region ``(1, i, j, k)`` on the model grid; same shape."""
    i, j, k = label.shape[1:]
    spacing = Geometry((i, j, k), affine).spacing
    nearness = measure_nearness(label[0].numpy() >= 0.5, spacing, reach_mm=REACH_MM)
    return torch.from_numpy(nearness)[None]


def _foresee(
    network: ProgressionNetwork, pair: VisitPair, arrays: PreparedArrays, code: ConditionCode
) -> Foresight:
    grows = network.settings.growing_region and arrays.label is not None
    return look_ahead(
        network,
        source=arrays.source,
        mask=arrays.mask,
        condition=torch.from_numpy(code.encode(pair.covariates)),
        nearness=nearness_of(arrays.label, arrays.affine)
        if grows and arrays.label is not None
        else None,
    )


def _validate(
    network: ProgressionNetwork,
    pairs: list[VisitPair],
    prepared: People,
    code: ConditionCode,
    fabric: Fabric,
) -> tuple[dict[str, float], np.ndarray | None]:
    """Mean scores of the simulated follow-ups, and a picture of the first."""
    scores, picture = [], None
    network.eval()
    for pair in pairs:
        arrays = prepared[pair.name]
        target = need_target(arrays, pair.name)
        with fabric.autocast():
            foresight = _foresee(network, pair, arrays, code)
            future = foresight.at(pair.interval_years)
        scores.append(
            score_on_grid(arrays, target, future.image[0])
            | explain_region(foresight, arrays, pair.interval_years)
        )
        if picture is None:
            picture = draw_panels(arrays.source, future.image[0], target)
    return mean_scores(scores), picture


def explain_region(foresight: Foresight, arrays: PreparedArrays, years: float) -> dict[str, float]:
    """Share of the region's squared change that is explained: 0 for no change, at most 1."""
    if arrays.label is None or arrays.later is None:
        return {}
    moved = foresight.region_at(arrays.label, years)[0]
    unmoved = float((arrays.label - arrays.later).square().sum())
    left = float((moved - arrays.later).square().sum())
    return {"region": 1 - left / unmoved if unmoved else 0.0}
