"""Validate a progression model: simulated follow-ups against real ones of people it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from medtranslate.checkpoint import load_model
from medtranslate.data.index import index_datasets
from medtranslate.errors import CheckpointError, ConfigError
from medtranslate.io.locking import lock_folder
from medtranslate.manifest import load_signing_key, sign_outputs, take_snapshot
from medtranslate.metrics.rules import resolve_rules
from medtranslate.workflows.cohort import join_participants, pair_scans
from medtranslate.workflows.follow_ups import score_follow_ups
from medtranslate.workflows.forecaster import load_forecaster
from medtranslate.workflows.held_out import choose_held_out, validation_command
from medtranslate.workflows.marking import describe_made
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.validate import Validation
from medtranslate.workflows.validation_choices import ValidationChoices


def follows_visits(model: Path) -> bool:
    """Whether a model simulates progression; False also if it is no model at all."""
    try:
        pipeline = load_model(model).config.get("pipeline")
    except CheckpointError:
        return False
    return isinstance(pipeline, Mapping) and pipeline.get("visits") is not None


def validate_progression(
    model: Path,
    datasets: Sequence[Path],
    out: Path,
    *,
    choices: ValidationChoices | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Score simulated follow-ups, beside "no change", the cohort's mean change and the trend.

    Held out is who neither trained nor validated, as for :func:`validate`.

    Args:
        model: Run folder or its ``model/``.
        datasets: BIDS folders or tables with several visits.
        out: Folder for the tables and the report.
        choices: What to do beside scoring; only protocols, perceptual, checklist and
            even_though_seen apply.
        progress: Told how far things are.

    Raises:
        CheckpointError: If the model cannot be used.
        ConfigError: If a protocol is not known, a choice is for models of contrasts alone, or
            another run writes into ``out``.
        DatasetError: If nothing pairs, or nobody was held out.
    """
    choices = choices or ValidationChoices()
    progress = progress or NoProgress()
    _refuse_choices(choices)
    resolve_rules(choices.protocols or ())
    forecaster = load_forecaster(model)
    indexes = index_datasets(datasets)
    cases, pairs = pair_scans(forecaster.pipeline, indexes)
    scored, seen = choose_held_out(
        cases, [forecaster.model], even_though_seen=choices.even_though_seen
    )
    key = load_signing_key()
    with lock_folder(out):
        before = take_snapshot(out)
        validation = score_follow_ups(
            forecaster,
            scored,
            pairs,
            out,
            participants=join_participants(indexes),
            choices=choices,
            seen=seen,
            command=validation_command(model, datasets, out, choices),
            progress=progress,
        )
        record = describe_made(
            "medtranslate validate",
            model_sha256=forecaster.model.sha256,
            pipeline=forecaster.pipeline.name,
            cases=scored,
        )
        sign_outputs(out, since=before, record=record, key=key)
    return validation


def _refuse_choices(choices: ValidationChoices) -> None:
    asked = {
        "--audit": choices.audit,
        "--uncertainty": choices.uncertainty,
        "--downstream": choices.downstream,
        "--with": choices.companions,
        "--format dicom": choices.dicom,
    }
    wrong = [name for name, value in asked.items() if value]
    if wrong:
        raise ConfigError(
            f"{', '.join(wrong)}: for models that turn a contrast into another; this one simulates"
            " progression. Leave it out"
        )
