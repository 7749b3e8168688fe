"""Validate: a model and its baselines scored on people it never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medtranslate.data.cases import Case, find_cases
from medtranslate.data.index import index_datasets
from medtranslate.errors import DatasetError
from medtranslate.inference.predict import InferencePlan
from medtranslate.io import read_volume, sidecar_path
from medtranslate.io.locking import lock_folder
from medtranslate.manifest import load_signing_key, sign_outputs, take_snapshot
from medtranslate.metrics.rules import resolve_rules
from medtranslate.preprocess.native import Reference, native_mask, reference_on_source
from medtranslate.preprocess.preparation import Prepared
from medtranslate.report.details import EvaluationDetails
from medtranslate.volume import IntensityScale, Volume
from medtranslate.workflows.analyses.base import AbstractAnalysis
from medtranslate.workflows.cohort import join_participants
from medtranslate.workflows.deviation import deviation_path, read_deviation
from medtranslate.workflows.downstream import choose_training_cases, make_downstream_task
from medtranslate.workflows.ensemble import describe_views, load_chosen_translator
from medtranslate.workflows.evaluate import evaluate_cases
from medtranslate.workflows.held_out import (
    choose_held_out,
    describe_validation,
    read_split,
    refuse_seen_scan,
    validation_command,
)
from medtranslate.workflows.kept_evidence import LookElsewhere, go_on, make_keep, make_keeper
from medtranslate.workflows.labels import read_labels
from medtranslate.workflows.marking import describe_made
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.scored_case import ScoredCase, UnscoredCase
from medtranslate.workflows.scored_each import make_each
from medtranslate.workflows.scoring_plan import choose_scoring, describe_scoring, make_protocol
from medtranslate.workflows.validation_choices import ValidationChoices
from medtranslate.workflows.window_cells import find_cells, read_plan

DICOM_FOLDER = "dicom"
"""Where the synthetic series lie, in the folder of the scores."""


@dataclass(frozen=True)
class Validation:
    """What came of a validation.

    Attributes:
        summary: Content of ``summary.json``.
        report: Path of ``report.html``.
        scored: People scored.
        refused: People left out because the model was trained on them.
    """

    summary: Mapping[str, Any]  # plain JSON data
    report: Path
    scored: tuple[str, ...]
    refused: tuple[str, ...]

    @property
    def unscored(self) -> tuple[tuple[str, str], ...]:
        """Cases that could not be scored, and why."""
        return tuple((one["case"], one["why"]) for one in self.summary.get("unscored", ()))

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "summary": dict(self.summary),
            "report": str(self.report),
            "scored": list(self.scored),
            "refused": list(self.refused),
            "unscored": [{"case": case, "why": why} for case, why in self.unscored],
        }


def validate(
    model: Path,
    datasets: Sequence[Path],
    out: Path,
    *,
    choices: ValidationChoices | None = None,
    predict: Callable[[Translator, Sequence[Case]], Mapping[str, Path]] | None = None,
    look_elsewhere: LookElsewhere | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Score a model on held-out people.

    Held out is who was neither trained nor validated on: the test people of the model's own
    split, and people it does not know. Others are refused by name, unless asked for.

    Args:
        model: Run folder or its ``model/``.
        datasets: BIDS folders or tables with source and target.
        out: Folder for the tables and the report.
        choices: What to do beside scoring.
        predict: Makes the synthetic scans, by case name, before any is scored; a case it leaves out
            is not scored. They are predicted one by one if None, and then not written, so that
            ``choices.dicom`` cannot be asked for.
        look_elsewhere: Scores in other processes, see :func:`go_on`; all in this one if None.
        progress: Told how far things are.

    Raises:
        CheckpointError: If a model cannot be used, or was never calibrated.
        ConfigError: If a protocol is not known, there are companions without uncertainty, or
            another run writes into ``out``.
        DatasetError: If nothing pairs, nobody was held out, the segmenter lacks people, or DICOM is
            asked for and a source is none.
    """
    choices = choices or ValidationChoices()
    if choices.dicom is not None and predict is None:
        raise ValueError("choices.dicom needs predict: it is written from the scans that makes")
    resolve_rules(choices.protocols or ())
    translator = load_chosen_translator(
        model,
        uncertainty=choices.uncertainty,
        companions=choices.companions,
        inference=choices.inference,
    )
    pipeline = translator.pipeline
    indexes = index_datasets(datasets)
    cases = find_cases(indexes, source=pipeline.source, target=pipeline.target, mask=pipeline.mask)
    models = [one.model for one in (translator, *translator.companions)]
    scored, seen = choose_held_out(cases, models, even_though_seen=choices.even_though_seen)
    key = load_signing_key()
    with lock_folder(out):
        before = take_snapshot(out)
        written = None if predict is None else predict(translator, scored)
        further = (
            () if written is None else _look_further(translator, scored, written, out, choices)
        )
        downstream = choices.downstream
        wanted = pipeline.evaluation.downstream if downstream is None else downstream
        validation = score_cases(
            translator,
            [case for case in scored if written is None or case.name in written],
            out,
            predictions=written,
            choices=choices,
            training=choose_training_cases(cases, read_split(translator.model)) if wanted else (),
            participants=join_participants(indexes),
            seen=seen,
            command=validation_command(model, datasets, out, choices),
            further=further,
            look_elsewhere=look_elsewhere,
            progress=progress,
        )
        made = describe_made(
            "medtranslate validate",
            model_sha256=translator.model.sha256,
            pipeline=pipeline.name,
            cases=scored,
        )
        sign_outputs(out, since=before, record=made, key=key)
    return validation


def score_cases(
    translator: Translator,
    cases: Sequence[Case],
    out: Path,
    *,
    predictions: Mapping[str, Path] | None = None,
    choices: ValidationChoices | None = None,
    training: Sequence[Case] = (),
    participants: Mapping[str, Mapping[str, str]] | None = None,
    seen: Sequence[str] = (),
    command: str = "",
    further: Sequence[AbstractAnalysis] = (),
    look_elsewhere: LookElsewhere | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Score the model and its baselines, and write the tables and the report.

    Args:
        translator: The model.
        cases: Whom to score.
        out: Folder for the tables and the report.
        predictions: Synthetic scans already written, by case name; predicted anew if None.
        choices: What to do beside scoring.
        training: Cases of the people the model was trained on, for the segmenter of the downstream
            analysis; without them there is none.
        participants: What is known of each subject, by subject key, for the subgroups.
        seen: People in the data that the model was trained on; left out, unless ``choices`` says
            to score them.
        command: The command that makes the scores again.
        further: What else to look at, after all other analyses.
        look_elsewhere: Scores in other processes, see :func:`go_on`; all in this one if None.
        progress: Told how far things are.
    """
    progress = progress or NoProgress()
    choices = choices or ValidationChoices()
    protocol = make_protocol(translator.pipeline)
    downstream = None
    if training:
        by_name = {case.name: case for case in cases}
        downstream = make_downstream_task(translator, training, by_name, progress=progress)
    analyses = choose_scoring(
        translator, choices, cases, participants=participants, downstream=downstream
    )
    analyses += further
    files = {
        name: _list_files(path, with_deviation=translator.calibration is not None)
        for name, path in (predictions or {}).items()
    }
    keeper = None
    if predictions is not None:  # else who knows in which windows the memory lets them be made
        keeper = make_keeper(
            out,
            cases,
            analyses,
            settings=describe_scoring(translator, choices),
            facts={},
            files=files,
            progress=progress,
        )

    def predict(missing: Sequence[Case], num_before: int) -> Iterator[ScoredCase | UnscoredCase]:
        return predict_cases(
            translator,
            missing,
            predictions=predictions,
            refuse_seen=not choices.even_though_seen,
            progress=progress,
            num_before=num_before,
        )

    details = describe_evaluation(
        translator, seen=seen, scored_seen=choices.even_though_seen, command=command
    )
    summary = evaluate_cases(
        go_on(keeper, cases, predict, look_elsewhere),
        protocol=protocol,
        out=out,
        details=replace(details, checklist=choices.checklist),
        analyses=analyses,
        all_or_none=False,
        keep=make_keep(keeper, cases, files),
    )
    refused = () if choices.even_though_seen else tuple(seen)
    return Validation(summary, out / "report.html", find_scored(summary), refused)


def _list_files(prediction: Path, *, with_deviation: bool) -> list[Path]:
    """What is read of a synthetic scan."""
    deviation = [deviation_path(prediction)] if with_deviation else []
    return [prediction, sidecar_path(prediction), *deviation]


def find_scored(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """The people whom a summary of scores holds."""
    return tuple(sorted({row["subject"] for row in summary["per_case"]}))


def _look_further(
    translator: Translator,
    cases: Sequence[Case],
    written: Mapping[str, Path],
    out: Path,
    choices: ValidationChoices,
) -> tuple[AbstractAnalysis, ...]:
    if choices.dicom is None:
        return ()
    # DICOM is an extra, and only who asks for it waits for it.
    from medtranslate.workflows.analyses.error_maps import ErrorMaps

    return (
        ErrorMaps(
            translator,
            sources={case.name: case.source for case in cases},
            predictions=written,
            out=out / DICOM_FOLDER,
            identity=choices.dicom,
        ),
    )


def predict_cases(
    translator: Translator,
    cases: Sequence[Case],
    *,
    predictions: Mapping[str, Path] | None,
    refuse_seen: bool = True,
    progress: Progress,
    num_before: int = 0,
) -> Iterator[ScoredCase | UnscoredCase]:
    """One case at a time: the model and its baselines on the source's own grid.

    Args:
        translator: The model.
        cases: Held-out people.
        predictions: Synthetic scans already written, by case name; predicted anew if None.
        refuse_seen: Refuse scans that the model was trained on, whatever they are called.
        progress: Told how far things are.
        num_before: Others that were scored before.
    """
    models = [one.model for one in (translator, *translator.companions)] if refuse_seen else []

    def make(case: Case) -> ScoredCase:
        prepared = translator.prepare(case)
        refuse_seen_scan(case, prepared, models)
        written = None if predictions is None else predictions[case.name]
        return _scored_case(translator, case, prepared, written)

    return make_each(cases, make, progress=progress, num_before=num_before)


def _scored_case(
    translator: Translator, case: Case, prepared: Prepared, written: Path | None
) -> ScoredCase:
    plan: InferencePlan | None
    if written is None:
        prediction = translator.predict(prepared)
        model, sd, plan = prediction.volume, prediction.sd, prediction.plan
    else:
        plan = read_plan(written)
        sd = None if translator.calibration is None else read_deviation(written)
        model = replace(
            read_volume(written, modality=translator.target_suffix),
            unit=translator.model.scale.unit,
        )
    scale = translator.model.scale
    volumes = {translator.pipeline.name: model, **translator.predict_baselines(prepared)}
    predictions: dict[str, tuple[Volume, IntensityScale | None]] = {
        name: (volume, scale) for name, volume in volumes.items()
    }
    reference = _reference(translator, case)
    labels = read_labels(case.labels, like=reference.volume.geometry)
    return ScoredCase(
        name=case.name,
        subject=case.subject,
        reference=replace(reference.volume, modality=translator.target_suffix),
        predictions=predictions,
        mask=native_mask(prepared) & reference.seen,
        source=read_volume(case.source),
        context=_context(case, reference),
        departures=translator.compare_with_training(prepared),
        labels=labels.regions,
        labels_left_out=labels.left_out,
        sd=None if sd is None else sd.voxels,
        windows=find_cells(prepared, plan, divisor=translator.pipeline.method.generator.divisor),
    )


def _reference(translator: Translator, case: Case) -> Reference:
    if case.target is None:
        raise DatasetError(f"{case.name}: has no {translator.pipeline.target} to score against")
    return reference_on_source(
        translator.pipeline.preprocess,
        name=case.name,
        source=case.source,
        target=case.target,
        transform=case.transform,
    )


def _context(case: Case, reference: Reference) -> dict[str, str]:
    facts = {"dataset": case.dataset, "grid": reference.volume.geometry.describe()}
    if case.session is not None:
        facts["visit"] = case.session
    if reference.registration is not None:
        facts["registration"] = "kept, got worse" if reference.registration.worse else "improved"
    return facts


def describe_evaluation(
    translator: Translator, *, seen: Sequence[str], scored_seen: bool = False, command: str
) -> EvaluationDetails:
    """What the report says of a model beside its scores.

    Args:
        translator: The model.
        seen: People in the data that the model was trained on.
        scored_seen: Whether they were scored all the same.
        command: The command that makes the scores again.
    """
    pipeline = translator.pipeline
    masking = pipeline.preprocess.mask
    details = describe_validation(
        pipeline,
        translator.model,
        seen=seen,
        scored_seen=scored_seen,
        command=command,
        made=_describe_mean(translator),
    )
    return replace(
        details,
        source_name=pipeline.source,
        target_name=pipeline.target,
        mask=f"from the source scan alone (preprocess.mask: {masking}), where the real scan has"
        " voxels",
    )


def _describe_mean(translator: Translator) -> dict[str, str]:
    """What a mean prediction is the mean of; nothing for a plain one."""
    views = describe_views(translator)
    if not views:
        return {}
    models = len(translator.companions) + 1
    mirrored = sum(view["Mirrored"] for view in views)
    by = "1 model" if models == 1 else f"{models} models"
    return {"prediction": f"mean of {len(views)} predictions by {by}, {mirrored} of them mirrored"}
