"""What training starts from: the fitted maps, the baselines and the people as patches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from medtranslate.data.augmentation import build_augmentation
from medtranslate.data.patches import PatchSampler, Share, TrainingCase
from medtranslate.data.spill import spill
from medtranslate.errors import DatasetError
from medtranslate.methods.baselines import HistogramMatch, fit_histogram_match
from medtranslate.networks.generator import Generator
from medtranslate.networks.inputs import make_inputs
from medtranslate.networks.lookup import fit_lookup_map
from medtranslate.pipeline import Pipeline, build_generator
from medtranslate.preprocess.cache import PreparedArrays
from medtranslate.workflows.cohort import Cohort
from medtranslate.workflows.levelled import level_image
from medtranslate.workflows.residence import place_scans

People = Mapping[str, PreparedArrays]
"""Prepared scans by the name of their case."""


def training_mask(arrays: PreparedArrays) -> torch.Tensor:
    """Where a prediction can be judged: inside the patient and the target's field of view."""
    return arrays.mask if arrays.seen is None else arrays.mask * arrays.seen


def need_target(arrays: PreparedArrays, name: str) -> torch.Tensor:
    """The target of a case.

    Raises:
        DatasetError: If it has none.
    """
    if arrays.target is None:
        raise DatasetError(f"{name}: has no target scan to learn from")
    return arrays.target


def show_people(cohort: Cohort, prepared: People, folder: Path) -> dict[str, torch.Tensor]:
    """What the generator is shown of each training person, spilled into ``folder``.

    Returns:
        Shape ``(2, i, j, k)`` by the name of the case.

    Raises:
        VolumeWriteError: If the folder cannot be written to or the disk is full.
    """
    people = [(case.name, prepared[case.name]) for case in cohort.part("train")]
    return {name: spill(make_inputs(one.source, one.mask), folder) for name, one in people}


def start_generator(
    pipeline: Pipeline, prepared: People, shown: Mapping[str, torch.Tensor]
) -> Generator:
    """A generator that equals the starting map of the training people; ``shown`` is theirs."""
    torch.manual_seed(pipeline.training.seed)
    generator = build_generator(pipeline)
    people = [(name, prepared[name]) for name in shown]
    for channel, lookup in enumerate((generator.lookup, generator.rank_lookup)):
        fitted = fit_lookup_map(
            (
                (
                    shown[name][channel].numpy(),
                    need_target(arrays, name).numpy()[0],
                    training_mask(arrays).numpy()[0] > 0,
                )
                for name, arrays in people
            ),
            seed=pipeline.training.seed,
        )
        lookup.load_state_dict(fitted.state_dict())
    return generator


def fit_histogram(cohort: Cohort, prepared: People) -> HistogramMatch:
    """The histogram of the training people's targets."""
    people = [(case.name, prepared[case.name]) for case in cohort.part("train")]
    return fit_histogram_match(
        (need_target(arrays, name).numpy(), training_mask(arrays).numpy() > 0)
        for name, arrays in people
    )


def make_sampler(
    pipeline: Pipeline,
    prepared: People,
    shown: Mapping[str, torch.Tensor],
    generator: Generator,
    *,
    share: Share,
    device: torch.device,
    folder: Path,
) -> PatchSampler:
    """Patches of the training people; targets without a unit are brought to one level.

    Args:
        pipeline: The whole job.
        prepared: The people's scans.
        shown: What :func:`show_people` gives of those who train.
        generator: Untrained, so that its prediction is the starting map.
        share: Part of each batch that this process draws.
        device: What trains; the scans are kept there if it has the memory.
        folder: Where images are spilled.

    Raises:
        VolumeWriteError: If the folder cannot be written to or the disk is full.
    """
    cases = [
        _training_case(pipeline, name, prepared[name], inputs, generator, folder)
        for name, inputs in shown.items()
    ]
    return PatchSampler(
        cases,
        patch_size=pipeline.training.patch_size,
        batch_size=pipeline.training.batch_size,
        seed=pipeline.training.seed,
        augmentation=partial(build_augmentation, pipeline.augmentation),
        share=share,
        device=place_scans(cases, device),
    )


def _training_case(
    pipeline: Pipeline,
    name: str,
    arrays: PreparedArrays,
    shown: torch.Tensor,
    start: Generator,
    folder: Path,
) -> TrainingCase:
    mask = training_mask(arrays)
    begun = start.begin(shown[None])[0]
    target = level_image(pipeline, need_target(arrays, name), start=begun, mask=mask)
    return TrainingCase(
        shown[:1], shown[1:], spill(target, folder), spill(mask, folder, kind=np.uint8), name
    )
