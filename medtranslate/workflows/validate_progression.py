"""Validate a progression model: simulated follow-ups against real ones of people it never saw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from medtranslate.checkpoint import load_model
from medtranslate.data.cases import Case
from medtranslate.data.index import index_datasets
from medtranslate.data.visits import VisitPair
from medtranslate.errors import CheckpointError, ConfigError, DatasetError
from medtranslate.io import read_volume
from medtranslate.io.locking import lock_folder
from medtranslate.manifest import load_signing_key, sign_outputs, take_snapshot
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.rules import resolve_rules
from medtranslate.networks.deformation import jacobian_determinant
from medtranslate.pipeline import Pipeline
from medtranslate.preprocess.native import Reference, native_mask, reference_on_source
from medtranslate.preprocess.native_motion import carry_image
from medtranslate.preprocess.preparation import Prepared, prepare
from medtranslate.report.details import EvaluationDetails
from medtranslate.volume import Volume
from medtranslate.workflows.analyses.choose import choose_analyses
from medtranslate.workflows.cohort import join_participants, pair_scans
from medtranslate.workflows.cross_validate import is_repeated
from medtranslate.workflows.evaluate import evaluate_cases
from medtranslate.workflows.expectations import expect
from medtranslate.workflows.forecaster import Forecaster, load_forecaster
from medtranslate.workflows.held_out import (
    choose_held_out,
    describe_validation,
    refuse_seen_scan,
    validation_command,
)
from medtranslate.workflows.marking import describe_made
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.scored_case import Followed, ScoredCase
from medtranslate.workflows.train import train_in_locked
from medtranslate.workflows.validate import Validation
from medtranslate.workflows.validation_choices import ValidationChoices


def follows_visits(model: Path) -> bool:
    """Whether a model simulates progression; False also if it is no model at all."""
    try:
        pipeline = load_model(model).config.get("pipeline")
    except CheckpointError:
        return False
    return isinstance(pipeline, Mapping) and pipeline.get("visits") is not None


def run_progression(
    pipeline: Pipeline,
    datasets: Sequence[Path],
    out: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> Validation:
    """Train a progression model, then score it on the held-out people.

    Args:
        pipeline: The whole job.
        datasets: Dataset folders or tables.
        out: Run folder; must not hold another run unless ``resume``.
        resume: Go on training where it stopped.
        progress: Told how far things are.

    Raises:
        ConfigError: If ``out`` holds a run and ``resume`` is not set, or one of another pipeline.
        DatasetError: If visits cannot be paired, or nobody is held out.
    """
    progress = progress or NoProgress()
    if is_repeated(pipeline):
        raise ConfigError(
            f"'{pipeline.name}': split.folds and train.seeds are for models that turn a contrast"
            " into another; give each run of a progression its split.test_subjects"
        )
    with lock_folder(out):
        train_in_locked(pipeline, datasets, out, resume=resume, cache=None, progress=progress)
        return validate_progression(out, datasets, out / "evaluation", progress=progress)


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
        ConfigError: If a protocol is not known, or a choice is for models of contrasts alone.
        DatasetError: If nothing pairs, or nobody was held out.
    """
    choices = choices or ValidationChoices()
    progress = progress or NoProgress()
    _refuse_choices(choices)
    resolve_rules(choices.protocols or ())
    forecaster = load_forecaster(model)
    pipeline = forecaster.pipeline
    indexes = index_datasets(datasets)
    cases, pairs = pair_scans(pipeline, indexes)
    scored, seen = choose_held_out(
        cases, [forecaster.model], even_though_seen=choices.even_though_seen
    )
    key, before = load_signing_key(), take_snapshot(out)
    protocols = pipeline.evaluation.protocols if choices.protocols is None else choices.protocols
    simulated = _simulate_cases(
        forecaster,
        scored,
        pairs,
        participants=join_participants(indexes),
        refuse_seen=not choices.even_though_seen,
        progress=progress,
    )
    summary = evaluate_cases(
        simulated,
        # Simulated and real follow-ups have one unit, the baseline's: both share one divisor.
        protocol=Protocol(scale="shared", axis=pipeline.evaluation.axis),
        out=out,
        details=_describe(
            forecaster, seen, choices, validation_command(model, datasets, out, choices)
        ),
        analyses=choose_analyses(
            protocols=protocols, thorough=False, perceptual=choices.perceptual, followed=True
        ),
    )
    record = describe_made(
        "medtranslate validate",
        model_sha256=forecaster.model.sha256,
        pipeline=pipeline.name,
        cases=scored,
    )
    sign_outputs(out, since=before, record=record, key=key)
    people = tuple(sorted({case.subject for case in scored}))
    refused = () if choices.even_though_seen else tuple(seen)
    return Validation(summary, out / "report.html", people, refused)


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


def _simulate_cases(
    forecaster: Forecaster,
    cases: Sequence[Case],
    pairs: Mapping[str, VisitPair],
    *,
    participants: Mapping[str, Mapping[str, str]],
    refuse_seen: bool,
    progress: Progress,
) -> Iterator[ScoredCase]:
    """One case at a time: the model and its baselines on the baseline scan's own grid."""
    trend = all(pairs[case.name].earlier for case in cases)
    progress.stage("score", len(cases))
    for number, case in enumerate(cases):
        progress.update(number, case.name)
        prepared = _prepare(forecaster.pipeline, case)
        if refuse_seen:
            refuse_seen_scan(case, prepared, [forecaster.model])
        scored = _score(forecaster, case, pairs[case.name], prepared, trend=trend)
        yield replace(scored, participant=participants.get(case.subject, {}))
    progress.update(len(cases))


def _prepare(pipeline: Pipeline, case: Case) -> Prepared:
    return prepare(
        pipeline.preprocess,
        name=case.name,
        source=case.source,
        target=case.target,
        label=case.label,
        later=case.later,
    )


def _score(
    forecaster: Forecaster, case: Case, pair: VisitPair, prepared: Prepared, *, trend: bool
) -> ScoredCase:
    pipeline = forecaster.pipeline
    today = read_volume(case.source)
    region, later = (_native_region(image, prepared) for image in (prepared.label, prepared.later))
    nowhere = np.zeros(today.geometry.shape, dtype=bool)
    foresight = forecaster.look_ahead(prepared, pair.covariates)
    future = forecaster.develop(
        foresight,
        prepared,
        today,
        nowhere if region is None else region,
        years=pair.interval_years,
    )
    baselines = expect(forecaster.model.config, pipeline, pair, prepared, trend=trend)
    reference = _reference(pipeline, case, prepared)
    scans = {pipeline.name: future.scan} | {
        name: one.scan(today, prepared) for name, one in baselines.items()
    }
    regions: dict[str, np.ndarray] = {}
    if region is not None:
        regions = {pipeline.name: future.region} | {
            name: one.region(region, today.geometry.spacing) for name, one in baselines.items()
        }
    stretch = jacobian_determinant(foresight.at(pair.interval_years).displacement)
    return ScoredCase(
        name=case.name,
        subject=case.subject,
        reference=reference.volume,
        predictions={
            name: (Volume(scan[None], today.geometry, today.modality), None)
            for name, scan in scans.items()
        },
        mask=native_mask(prepared) & reference.seen,
        source=today,
        context={
            "dataset": case.dataset,
            "years": f"{pair.interval_years:.2f}",
            "grid": today.geometry.describe(),
        },
        followed=Followed(
            years=pair.interval_years,
            today=region,
            later=later,
            regions=regions,
            folded=float((stretch <= 0).float().mean()),
        ),
    )


def _native_region(image: object, prepared: Prepared) -> np.ndarray | None:
    """A region of the model grid on the baseline's own, where at least half of a voxel is it."""
    if image is None:
        return None
    on_grid = np.asarray(image, dtype=np.float32)[0]
    carried: np.ndarray = carry_image(on_grid, prepared.grid, prepared.native) >= 0.5
    return carried


def _reference(pipeline: Pipeline, case: Case, prepared: Prepared) -> Reference:
    """The follow-up on the baseline's own grid, brought to its gain."""
    if case.target is None or prepared.target_scale is None:
        raise DatasetError(f"{case.name}: has no follow-up to score against")
    found = reference_on_source(
        pipeline.preprocess, name=case.name, source=case.source, target=case.target
    )
    gain = prepared.target_scale.factor / prepared.source_scale.factor
    voxels = (found.volume.voxels / np.float32(gain)).astype(np.float32)
    return replace(found, volume=replace(found.volume, array=voxels[None]))


def _describe(
    forecaster: Forecaster, seen: Sequence[str], choices: ValidationChoices, command: str
) -> EvaluationDetails:
    pipeline = forecaster.pipeline
    details = describe_validation(
        pipeline,
        forecaster.model,
        task=f"{pipeline.source} at a later visit",
        seen=seen,
        seen_scored=choices.even_though_seen,
        command=command,
    )
    return replace(
        details,
        source_name=f"{pipeline.source}, baseline",
        target_name=f"{pipeline.source}, follow-up",
        checklist=choices.checklist,
        mask="of the baseline scan alone, where the follow-up has voxels; the follow-up is brought"
        " to the baseline's gain",
    )
