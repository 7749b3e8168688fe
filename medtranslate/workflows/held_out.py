"""Who may be scored: people that a model never saw; and what every validation says of its model."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from medtranslate.checkpoint import LoadedModel
from medtranslate.data.cases import Case
from medtranslate.data.split import Split, shorten
from medtranslate.errors import CheckpointError, DatasetError
from medtranslate.manifest import load_signing_key, public_text
from medtranslate.pipeline import Pipeline
from medtranslate.preprocess.preparation import Prepared
from medtranslate.provenance import git_commit, software_versions
from medtranslate.report.details import EvaluationDetails
from medtranslate.workflows.train import INPUTS_KEY
from medtranslate.workflows.validation_choices import ValidationChoices

_HASH_DIGITS = 12


def read_split(model: LoadedModel) -> Split:
    """Which people trained, validated and were held out.

    Raises:
        CheckpointError: If the model does not say.
    """
    if "split" not in model.config:
        raise CheckpointError(f"{model.folder}: does not say who trained it")
    return Split.from_json(model.config["split"], where=str(model.folder))


def choose_held_out(
    cases: Sequence[Case], models: Sequence[LoadedModel], *, even_though_seen: bool
) -> tuple[list[Case], list[str]]:
    """Keep the cases of people that no model was trained or validated on.

    Args:
        cases: Of everybody in the data.
        models: All that predict.
        even_though_seen: Keep the others too.

    Returns:
        The cases to score, and the people in the data that a model has seen.

    Raises:
        DatasetError: If nobody is left.
        CheckpointError: If a model does not say who trained it.
    """
    splits = [read_split(model) for model in models]
    seen = {one for split in splits for one in (*split.subjects("train"), *split.subjects("val"))}
    known = sorted({case.subject for case in cases if case.subject in seen})
    kept = [case for case in cases if even_though_seen or case.subject not in seen]
    if not kept:
        raise DatasetError(
            f"the model was trained on everybody in the data: {shorten(known)}. Scores on them"
            " would say nothing about other people; give a dataset of those, or mark every page by"
            " --even-though-seen-in-training"
        )
    return kept, known


def refuse_seen_scan(case: Case, prepared: Prepared, models: Sequence[LoadedModel]) -> None:
    """The same voxels under another name are the same person.

    Raises:
        DatasetError: If a model was trained on them.
    """
    sha256 = prepared.inputs["source"]
    for model in models:
        known = model.config.get(INPUTS_KEY)
        person = known.get(sha256) if isinstance(known, Mapping) else None
        if person is not None:
            raise DatasetError(
                f"the model was trained on this very scan, as {person}. Leave {case.subject} out"
            )


def validation_command(
    model: Path, datasets: Sequence[Path], out: Path, choices: ValidationChoices
) -> str:
    """What makes the scores again; no folders above the names, which may be called after people."""
    data = [word for path in datasets for word in ("--data", path.name)]
    words = ["medtranslate", "validate", model.name, *data, *choices.to_words()]
    return shlex.join([*words, "--out", out.name])


def describe_validation(
    pipeline: Pipeline,
    model: LoadedModel,
    *,
    seen: Sequence[str],
    scored_seen: bool,
    command: str,
    made: Mapping[str, str] | None = None,
) -> EvaluationDetails:
    """What the report says of any model beside its scores; contrasts and mask are the caller's.

    Args:
        pipeline: The model's.
        model: The model.
        seen: People in the data that it was trained on.
        scored_seen: Whether they were scored all the same.
        command: Makes the scores again.
        made: How predictions were made, beside what holds for every model.
    """
    split, marked = read_split(model), bool(seen) and scored_seen
    names = {"train": "training", "val": "validation", "test": "held out"}
    parts = {
        names[part]: f"{len(split.subjects(part))} people" for part in ("train", "val", "test")
    }
    people = ", people seen in training among them" if marked else " on held-out people"
    left_out = f"Left out, because the model was trained on them: {', '.join(seen)}."
    return EvaluationDetails(
        title=f"{pipeline.name}: {pipeline.task}{people}",
        held_out=not marked,
        seen_in_training=tuple(seen) if marked else (),
        split={**parts, "split hash": split.hash[:_HASH_DIGITS]},
        how_made={
            "pipeline": pipeline.name,
            "method": pipeline.method.name,
            **(made or {}),
            "model": model.sha256[:_HASH_DIGITS],
            "trained for": pipeline.effort,
            "signing key": public_text(load_signing_key()),
            "commit": git_commit() or "not from a checkout",
            "software": ", ".join(f"{k} {v}" for k, v in software_versions().items()),
        },
        command=command,
        notes=[left_out] if seen and not marked else [],
    )
