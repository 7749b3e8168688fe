"""A segmenter from the real scans of the people a model was trained on, and held-out cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from medtranslate.data.cases import Case
from medtranslate.data.split import Split, shorten
from medtranslate.errors import DatasetError
from medtranslate.methods.baselines import LOOKUP_MAP
from medtranslate.metrics.tissues import TISSUES, find_tissues
from medtranslate.preprocess.loading import voxels_of
from medtranslate.preprocess.preparation import Prepared
from medtranslate.workflows.analyses.downstream import DownstreamTask, SegmentedCase
from medtranslate.workflows.device import make_fabric
from medtranslate.workflows.given_labels import GivenLabels, find_given_labels
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.progress import Progress
from medtranslate.workflows.segmenter import LabelledScan, Recipe, Segmenter, train_segmenter


def choose_training_cases(cases: Sequence[Case], split: Split) -> list[Case]:
    """The cases of the people a model was trained on.

    Args:
        cases: All that the data holds.
        split: Of the model.

    Raises:
        DatasetError: If one of these people is missing; names who.
    """
    training = split.cases(cases, "train")
    missing = sorted({*split.subjects("train")} - {case.subject for case in training})
    if missing:
        raise DatasetError(
            "the segmenter of the downstream analysis learns from the people the model was trained"
            f" on, and the data lacks {shorten(missing)}. Add the dataset that holds them with"
            " --data, or leave --downstream out"
        )
    return training


def make_downstream_task(
    translator: Translator,
    training: Sequence[Case],
    held_out: Mapping[str, Case],
    *,
    progress: Progress,
    recipe: Recipe | None = None,
) -> DownstreamTask:
    """Train a segmenter, and make it ready for held-out cases.

    Args:
        translator: The model in question.
        training: What the segmenter learns from: cases of the model's training people.
        held_out: Cases to try it on, by name; nothing of them is read before they are tried.
        progress: Told how far things are.
        recipe: How the segmenter is trained; the default one if None.

    Raises:
        DatasetError: If a training scan cannot be divided into tissues.
        VolumeReadError: If a scan cannot be read.
    """
    recipe = recipe or Recipe()
    given = find_given_labels(training)
    labels = TISSUES if given is None else given.names
    segmenter = train_segmenter(
        _read_scans(translator, training, given, progress),
        num_labels=len(labels),
        recipe=recipe,
        fabric=make_fabric(translator.pipeline),
        progress=progress,
    )

    def segment(name: str) -> SegmentedCase:
        return segment_case(translator, segmenter, held_out[name], given)

    return DownstreamTask(
        labels=labels,
        origin=_describe_origin(given),
        recipe=recipe.describe(),
        people=tuple(sorted({case.subject for case in training})),
        segment=segment,
    )


def segment_case(
    translator: Translator, segmenter: Segmenter, case: Case, given: GivenLabels | None
) -> SegmentedCase:
    """Segment the real scan of a case, the model's prediction and the lookup map's.

    Args:
        translator: The model.
        segmenter: Trained on real scans.
        case: With a target.
        given: Labels to compare with, where the case has them.
    """
    prepared = translator.prepare(case, with_target=True)
    real, judged = _real_scan(prepared)
    images = {
        translator.pipeline.name: translator.predict_normalised(prepared),
        LOOKUP_MAP: translator.predict_normalised_baselines(prepared)[LOOKUP_MAP],
    }
    known = None
    if given is not None and given.covers(case):
        labels = given.read(case, prepared, translator.pipeline.preprocess)
        known = np.where(judged.numpy()[0] > 0, labels, 0)
    return SegmentedCase(
        real=segmenter.segment(real, judged),
        synthetic={name: segmenter.segment(image, judged) for name, image in images.items()},
        given=known,
        spacing=prepared.grid.spacing,
    )


def _read_scans(
    translator: Translator,
    training: Sequence[Case],
    given: GivenLabels | None,
    progress: Progress,
) -> list[LabelledScan]:
    progress.stage("prepare for the segmenter", len(training))
    scans = []
    for number, case in enumerate(training):
        progress.update(number, case.name)
        prepared = translator.prepare(case, with_target=True)
        image, judged = _real_scan(prepared)
        inside = judged.numpy()[0] > 0
        if given is not None:
            labels = given.read(case, prepared, translator.pipeline.preprocess)
        else:
            labels = _divide(image.numpy()[0], inside, case.name)
        kept = np.where(inside, labels, 0).astype(np.float32)
        scans.append(LabelledScan(image, torch.from_numpy(kept)[None], judged))
    progress.update(len(training))
    return scans


def _divide(image: np.ndarray, inside: np.ndarray, name: str) -> np.ndarray:
    try:
        return find_tissues(image, inside)
    except DatasetError as error:
        raise DatasetError(f"{name}: {error}") from error


def _real_scan(prepared: Prepared) -> tuple[Tensor, Tensor]:
    """The prepared target, 0 outside the mask, and the mask: in the patient, where it was seen."""
    if prepared.target is None or prepared.seen is None:
        raise DatasetError(f"{prepared.name}: has no target scan to segment")
    inside = (voxels_of(prepared.mask) > 0) & (voxels_of(prepared.seen) > 0)
    image = np.where(inside, voxels_of(prepared.target), np.float32(0))
    return torch.from_numpy(image)[None], torch.from_numpy(inside.astype(np.float32))[None]


def _describe_origin(given: GivenLabels | None) -> str:
    if given is not None:
        return f"{given.key} of the dataset, brought onto the model grid by nearest neighbour"
    return (
        "three classes of intensity of each real scan inside the mask (multi-Otsu), for not all of "
        "these people have a segmentation (dseg) on the grid of the real scan"
    )
