"""Validate: a model and its baselines scored on people it never saw."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medtranslate.data.cases import Case, find_cases
from medtranslate.data.index import index_datasets
from medtranslate.data.split import Split, shorten
from medtranslate.errors import DatasetError
from medtranslate.inference.predict import InferencePlan
from medtranslate.io import read_volume
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.rules import resolve_rules
from medtranslate.preprocess.native import Reference, native_mask, reference_on_source
from medtranslate.provenance import git_commit, software_versions
from medtranslate.report.details import EvaluationDetails
from medtranslate.volume import IntensityScale, Volume
from medtranslate.workflows.analyses.choose import choose_analyses
from medtranslate.workflows.analyses.retranslation import retranslate_with
from medtranslate.workflows.cohort import join_participants
from medtranslate.workflows.deviation import read_deviation
from medtranslate.workflows.downstream import choose_training_cases, make_downstream_task
from medtranslate.workflows.ensemble import describe_views, load_chosen_translator
from medtranslate.workflows.evaluate import evaluate_cases
from medtranslate.workflows.labels import read_labels
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.scored_case import ScoredCase
from medtranslate.workflows.train import INPUTS_KEY
from medtranslate.workflows.window_cells import find_cells, read_plan

_HASH_DIGITS = 12


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

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "summary": dict(self.summary),
            "report": str(self.report),
            "scored": list(self.scored),
            "refused": list(self.refused),
        }


def validate(
    model: Path,
    datasets: Sequence[Path],
    out: Path,
    *,
    protocols: Sequence[str] | None = None,
    audit: bool | None = None,
    uncertainty: bool | None = None,
    downstream: bool | None = None,
    companions: Sequence[Path] = (),
    progress: Progress | None = None,
) -> Validation:
    """Score a model on held-out people.

    Held out is who was neither trained nor validated on: the test people of the model's own
    split, and people it does not know. Others are refused by name.

    Args:
        model: Run folder or its ``model/``.
        datasets: BIDS folders or tables with source and target.
        out: Folder for the tables and the report.
        protocols: Names of the rules to score by beside the default protocol; what the model's
            pipeline says if None.
        audit: Also try the model with degraded sources and with lesions, about twenty predictions
            a case; what the model's pipeline says if None.
        uncertainty: Also predict mirrored, score the mean, and measure the coverage of its
            intervals; likewise.
        downstream: Also train a segmenter on the real scans of the model's training people, who
            must be in the data, and segment real and synthetic scans with it; likewise.
        companions: Further models that predict too; nobody they were trained on is scored.
        progress: Told how far things are.

    Raises:
        CheckpointError: If a model cannot be used, or was never calibrated.
        ConfigError: If a protocol is not known, or there are companions without uncertainty.
        DatasetError: If nothing pairs, nobody was held out, or the segmenter lacks people.
    """
    resolve_rules(protocols or ())
    translator = load_chosen_translator(model, uncertainty=uncertainty, companions=companions)
    pipeline = translator.pipeline
    indexes = index_datasets(datasets)
    cases = find_cases(indexes, source=pipeline.source, target=pipeline.target, mask=pipeline.mask)
    models = (translator, *translator.companions)
    held_out, refused = divide_cases(cases, *(one.split for one in models))
    if not held_out:
        raise DatasetError(
            f"the model was trained on everybody in the data: {shorten(refused)}. Scores on them"
            " would say nothing; give a dataset of other people"
        )
    wanted = pipeline.evaluation.downstream if downstream is None else downstream
    words = ["medtranslate", "validate", model.name, *_words("--data", [d.name for d in datasets])]
    asked = ["--audit"] * bool(audit) + ["--uncertainty"] * bool(uncertainty)
    asked += ["--downstream"] * bool(downstream)
    asked += _words("--with", [path.name for path in companions])
    command = shlex.join(
        [*words, *_words("--protocol", protocols or ()), *asked, "--out", out.name]
    )
    return score_cases(
        translator,
        held_out,
        out,
        protocols=protocols,
        audit=audit,
        training=choose_training_cases(cases, translator.split) if wanted else (),
        participants=join_participants(indexes),
        refused=refused,
        command=command,
        progress=progress,
    )


def score_cases(
    translator: Translator,
    cases: Sequence[Case],
    out: Path,
    *,
    predictions: Mapping[str, Path] | None = None,
    protocols: Sequence[str] | None = None,
    audit: bool | None = None,
    training: Sequence[Case] = (),
    participants: Mapping[str, Mapping[str, str]] | None = None,
    refused: Sequence[str] = (),
    command: str = "",
    progress: Progress | None = None,
) -> Validation:
    """Score the model and its baselines, and write the tables and the report.

    Args:
        translator: The model.
        cases: Held-out people.
        out: Folder for the tables and the report.
        predictions: Synthetic scans already written, by case name; predicted anew if None.
        protocols: Rules to score by; what the model's pipeline says if None.
        audit: Whether to try the model with degraded sources and with lesions; likewise.
        training: Cases of the people the model was trained on, for the segmenter of the downstream
            analysis; without them there is none.
        participants: What is known of each subject, by subject key, for the subgroups.
        refused: People left out, for the report.
        command: The command that makes the scores again.
        progress: Told how far things are.
    """
    progress = progress or NoProgress()
    if protocols is None:
        protocols = translator.pipeline.evaluation.protocols
    if audit is None:
        audit = translator.pipeline.evaluation.audit
    by_name = {case.name: case for case in cases}
    scored = predict_cases(
        translator, cases, predictions=predictions, participants=participants, progress=progress
    )
    summary = evaluate_cases(
        scored,
        protocol=make_protocol(translator),
        out=out,
        details=describe_evaluation(translator, refused=refused, command=command),
        analyses=choose_analyses(
            protocols=protocols,
            alignment=True,
            audit=retranslate_with(translator, by_name) if audit else None,
            calibration=translator.calibration,
            downstream=make_downstream_task(translator, training, by_name, progress=progress)
            if training
            else None,
        ),
    )
    people = tuple(sorted({case.subject for case in cases}))
    return Validation(summary, out / "report.html", people, tuple(refused))


def divide_cases(cases: Sequence[Case], *splits: Split) -> tuple[list[Case], list[str]]:
    """The cases of held-out people, and the people that a model was trained or validated on."""
    seen = {one for split in splits for one in (*split.subjects("train"), *split.subjects("val"))}
    refused = sorted({case.subject for case in cases if case.subject in seen})
    return [case for case in cases if case.subject not in seen], refused


def make_protocol(translator: Translator) -> Protocol:
    """The default rule, with predictions scaled by what their sidecar records."""
    axis = translator.pipeline.evaluation.axis
    return Protocol(scale="sidecar", axis=axis)


def predict_cases(
    translator: Translator,
    cases: Sequence[Case],
    *,
    predictions: Mapping[str, Path] | None,
    participants: Mapping[str, Mapping[str, str]] | None,
    progress: Progress,
) -> Iterator[ScoredCase]:
    """One case at a time: the model and its baselines on the source's own grid.

    Args:
        translator: The model.
        cases: Held-out people.
        predictions: Synthetic scans already written, by case name; predicted anew if None.
        participants: What is known of each subject, by subject key.
        progress: Told how far things are.
    """
    progress.stage("score", len(cases))
    for number, case in enumerate(cases):
        progress.update(number, case.name)
        scored = _scored_case(
            translator, case, None if predictions is None else predictions[case.name]
        )
        yield replace(scored, participant=(participants or {}).get(case.subject, {}))
    progress.update(len(cases))


def _scored_case(translator: Translator, case: Case, written: Path | None) -> ScoredCase:
    prepared = translator.prepare(case)
    for one in (translator, *translator.companions):
        _refuse_seen(one, case, prepared.fingerprint["inputs"]["source"])
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


def _refuse_seen(translator: Translator, case: Case, sha256: str) -> None:
    """The same voxels under another name are the same person."""
    known = translator.model.config.get(INPUTS_KEY)
    person = known.get(sha256) if isinstance(known, dict) else None
    if person is not None:
        raise DatasetError(
            f"the model was trained on this very scan, as {person}. Leave {case.subject} out"
        )


def _context(case: Case, reference: Reference) -> dict[str, str]:
    facts = {"dataset": case.dataset, "grid": reference.volume.geometry.describe()}
    if case.session is not None:
        facts["visit"] = case.session
    if reference.registration is not None:
        facts["registration"] = "kept, got worse" if reference.registration.worse else "improved"
    return facts


def describe_evaluation(
    translator: Translator, *, refused: Sequence[str], command: str
) -> EvaluationDetails:
    """What the report says of a model beside its scores.

    Args:
        translator: The model.
        refused: People left out.
        command: The command that makes the scores again.
    """
    pipeline, model, split = translator.pipeline, translator.model, translator.split
    commit = git_commit()
    names = {"train": "training", "val": "validation", "test": "held out"}
    parts = {
        names[part]: f"{len(split.subjects(part))} people" for part in ("train", "val", "test")
    }
    notes = []
    if refused:
        notes.append(f"Left out, because the model was trained on them: {', '.join(refused)}.")
    masking = pipeline.preprocess.mask
    return EvaluationDetails(
        title=f"{pipeline.name}: {pipeline.source} to {pipeline.target} on held-out people",
        source_name=pipeline.source,
        target_name=pipeline.target,
        held_out=True,
        split={**parts, "split hash": split.hash[:_HASH_DIGITS]},
        how_made={
            "pipeline": pipeline.name,
            "method": pipeline.method.name,
            **_describe_mean(translator),
            "model": model.sha256[:_HASH_DIGITS],
            "trained for": pipeline.train.time_budget or f"{pipeline.train.num_steps} steps",
            "commit": commit or "not from a checkout",
            "software": ", ".join(f"{k} {v}" for k, v in software_versions().items()),
        },
        command=command,
        mask=f"from the source scan alone (preprocess.mask: {masking}), where the real scan has"
        " voxels",
        notes=notes,
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


def _words(option: str, values: Sequence[str]) -> list[str]:
    """An option of a command line, once for each value."""
    return [word for value in values for word in (option, value)]
