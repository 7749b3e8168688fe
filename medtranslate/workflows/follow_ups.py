"""Simulated follow-ups of people held out, beside what they must beat, and their scores."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medtranslate.data.cases import Case
from medtranslate.data.visits import VisitPair
from medtranslate.errors import DatasetError
from medtranslate.io import read_volume
from medtranslate.metrics.protocol import Protocol
from medtranslate.networks.deformation import jacobian_determinant
from medtranslate.pipeline import Pipeline
from medtranslate.preprocess.native import Reference, native_mask, reference_on_source
from medtranslate.preprocess.native_motion import carry_image
from medtranslate.preprocess.preparation import Prepared, prepare
from medtranslate.report.details import EvaluationDetails
from medtranslate.volume import Volume
from medtranslate.workflows.analyses.base import AbstractAnalysis
from medtranslate.workflows.analyses.choose import choose_analyses
from medtranslate.workflows.consistency import measure_consistency
from medtranslate.workflows.evaluate import evaluate_cases
from medtranslate.workflows.expectations import expect
from medtranslate.workflows.forecaster import AnyForesight, Forecaster, NativeFuture
from medtranslate.workflows.held_out import describe_validation, refuse_seen_scan
from medtranslate.workflows.kept_evidence import go_on, make_keep, make_keeper
from medtranslate.workflows.progress import Progress
from medtranslate.workflows.scored_case import Followed, ScoredCase, UnscoredCase
from medtranslate.workflows.scored_each import make_each
from medtranslate.workflows.scoring_plan import choose_protocols, describe_rules
from medtranslate.workflows.validate import Validation, find_scored
from medtranslate.workflows.validation_choices import ValidationChoices


def score_follow_ups(
    forecaster: Forecaster,
    cases: Sequence[Case],
    pairs: Mapping[str, VisitPair],
    out: Path,
    *,
    participants: Mapping[str, Mapping[str, str]],
    choices: ValidationChoices,
    seen: Sequence[str] = (),
    command: str,
    progress: Progress,
) -> Validation:
    """Simulate the follow-ups of held-out people and score them.

    Args:
        forecaster: The model.
        cases: Held-out people.
        pairs: The visits behind each case, by its name.
        out: Folder for the tables and the report.
        participants: What is known of each subject, by subject key.
        choices: What to do beside scoring.
        seen: People in the data that the model was trained on.
        command: For the report: how to make the scores again.
        progress: Told how far things are.
    """
    pipeline = forecaster.pipeline
    protocol = make_follow_up_protocol(pipeline)
    analyses = choose_follow_up_analyses(
        choose_protocols(pipeline, choices),
        participants=participants,
        perceptual=choices.perceptual,
    )
    trend = has_trend(cases, pairs)
    files = {name: list(_list_earlier(pair)) for name, pair in pairs.items()}
    keeper = make_keeper(
        out,
        cases,
        analyses,
        settings={
            **describe_rules(pipeline, choices, protocol),
            "model": forecaster.model.sha256,
            "trend": trend,
        },
        facts={name: _describe_pair(pair) for name, pair in pairs.items()},
        files=files,
        progress=progress,
    )

    def simulate(missing: Sequence[Case], num_before: int) -> Iterator[ScoredCase | UnscoredCase]:
        return simulate_follow_ups(
            forecaster,
            missing,
            pairs,
            trend=trend,
            refuse_seen=not choices.even_though_seen,
            progress=progress,
            num_before=num_before,
        )

    details = describe_follow_ups(
        forecaster, seen=seen, scored_seen=choices.even_though_seen, command=command
    )
    summary = evaluate_cases(
        go_on(keeper, cases, simulate),
        protocol=protocol,
        out=out,
        details=replace(details, checklist=choices.checklist),
        analyses=analyses,
        all_or_none=False,
        keep=make_keep(keeper, cases, files),
    )
    refused = () if choices.even_though_seen else tuple(seen)
    return Validation(summary, out / "report.html", find_scored(summary), refused)


def _describe_pair(pair: VisitPair) -> dict[str, Any]:
    """What a simulated follow-up depends on beside the scans, plain JSON data."""
    return {
        "years": pair.interval_years,
        "baseline": pair.baseline.years,
        "earlier": [visit.years for visit in pair.earlier],
        "covariates": dict(pair.covariates),
    }


def _list_earlier(pair: VisitPair) -> Iterator[Path]:
    """Scans and labels from before the baseline."""
    for visit in pair.earlier:
        yield visit.scan
        if visit.labels is not None:
            yield visit.labels


def make_follow_up_protocol(pipeline: Pipeline) -> Protocol:
    """Simulated and real follow-ups have one unit, the baseline's: both share one divisor."""
    return Protocol(scale="shared", axis=pipeline.evaluation.axis)


def choose_follow_up_analyses(
    protocols: Sequence[str],
    *,
    participants: Mapping[str, Mapping[str, str]],
    perceptual: Path | None = None,
) -> list[AbstractAnalysis]:
    """What is looked at beside the image; see :func:`choose_analyses`."""
    return choose_analyses(
        protocols=protocols,
        thorough=False,
        participants=participants,
        perceptual=perceptual,
        followed=True,
    )


def has_trend(cases: Sequence[Case], pairs: Mapping[str, VisitPair]) -> bool:
    """Whether every case has a visit before its baseline, so that all have a linear trend."""
    return all(pairs[case.name].earlier for case in cases)


def describe_follow_ups(
    forecaster: Forecaster, *, seen: Sequence[str] = (), scored_seen: bool = False, command: str
) -> EvaluationDetails:
    """What the report says of a progression model beside its scores.

    Args:
        forecaster: The model.
        seen: People in the data that the model was trained on.
        scored_seen: Whether they were scored all the same.
        command: The command that makes the scores again.
    """
    pipeline = forecaster.pipeline
    details = describe_validation(
        pipeline,
        forecaster.model,
        seen=seen,
        scored_seen=scored_seen,
        command=command,
    )
    return replace(
        details,
        source_name=f"{pipeline.source}, baseline",
        target_name=f"{pipeline.source}, follow-up",
        mask="of the baseline scan alone, where the follow-up has voxels; the follow-up is brought"
        " to the baseline's gain",
    )


def simulate_follow_ups(
    forecaster: Forecaster,
    cases: Sequence[Case],
    pairs: Mapping[str, VisitPair],
    *,
    trend: bool,
    refuse_seen: bool = True,
    progress: Progress,
    num_before: int = 0,
) -> Iterator[ScoredCase | UnscoredCase]:
    """One case at a time: the model and its baselines on the baseline scan's own grid.

    Args:
        forecaster: The model.
        cases: Held-out people.
        pairs: The visits behind each case, by its name.
        trend: Whether the linear trend is among the baselines; see :func:`has_trend`.
        refuse_seen: Refuse scans that the model was trained on, whatever they are called.
        progress: Told how far things are.
        num_before: Others that were scored before.
    """
    models = [forecaster.model] if refuse_seen else []

    def make(case: Case) -> ScoredCase:
        prepared = _prepare(forecaster.pipeline, case)
        refuse_seen_scan(case, prepared, models)
        return _score(forecaster, case, pairs[case.name], prepared, trend=trend)

    return make_each(cases, make, progress=progress, num_before=num_before)


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
    region = _native_region(prepared.label, prepared)
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
    followed = _follow(forecaster, foresight, pair, prepared, today, region, future)
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
        followed=replace(followed, regions=regions),
    )


def _follow(
    forecaster: Forecaster,
    foresight: AnyForesight,
    pair: VisitPair,
    prepared: Prepared,
    today: Volume,
    region: np.ndarray | None,
    future: NativeFuture,
) -> Followed:
    """What the model says of the region beside its one future, without the baselines'."""
    years, num_samples = pair.interval_years, forecaster.pipeline.evaluation.samples
    later = _native_region(prepared.later, prepared)
    drawn = None
    if region is not None and later is not None and num_samples:
        # Noise of its own for each pair, whoever else is scored.
        speeds = forecaster.speeds.draw(num_samples, seed=zlib.crc32(pair.name.encode()))
        drawn = forecaster.draw(
            foresight, prepared, today.geometry, region, years=years, speeds=speeds
        )
    stretch = jacobian_determinant(foresight.at(years).displacement)
    return Followed(
        years=years,
        today=region,
        later=later,
        regions={},
        folded=float((stretch <= 0).float().mean()),
        consistency=measure_consistency(
            forecaster,
            foresight,
            prepared,
            today,
            region,
            years=years,
            whole=future,
            covariates=pair.covariates,
        ),
        drawn=drawn,
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
