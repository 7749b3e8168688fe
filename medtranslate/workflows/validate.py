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
from medtranslate.io import read_volume
from medtranslate.metrics.protocol import Protocol
from medtranslate.preprocess.native import Reference, native_mask, reference_on_source
from medtranslate.provenance import git_commit, software_versions
from medtranslate.report.details import EvaluationDetails
from medtranslate.volume import IntensityScale, Volume
from medtranslate.workflows.evaluate import evaluate_cases
from medtranslate.workflows.prediction import Translator, load_translator
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.scored_case import ScoredCase
from medtranslate.workflows.train import INPUTS_KEY

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
    model: Path, datasets: Sequence[Path], out: Path, *, progress: Progress | None = None
) -> Validation:
    """Score a model on held-out people.

    Held out is who was neither trained nor validated on: the test people of the model's own
    split, and people it does not know. Others are refused by name.

    Args:
        model: Run folder or its ``model/``.
        datasets: BIDS folders or tables with source and target.
        out: Folder for the tables and the report.
        progress: Told how far things are.

    Raises:
        CheckpointError: If the model cannot be used.
        DatasetError: If nothing pairs, or nobody was held out.
    """
    translator = load_translator(model)
    pipeline = translator.pipeline
    cases = find_cases(
        index_datasets(datasets),
        source=pipeline.source,
        target=pipeline.target,
        mask=pipeline.mask,
    )
    held_out, refused = divide_cases(cases, translator.split)
    if not held_out:
        raise DatasetError(
            f"the model was trained on everybody in the data: {shorten(refused)}. Scores on them"
            " would say nothing; give a dataset of other people"
        )
    words = ["medtranslate", "validate", model.name]
    command = shlex.join([*words, *_data_words(datasets), "--out", out.name])
    return score_cases(
        translator, held_out, out, refused=refused, command=command, progress=progress
    )


def score_cases(
    translator: Translator,
    cases: Sequence[Case],
    out: Path,
    *,
    predictions: Mapping[str, Path] | None = None,
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
        refused: People left out, for the report.
        command: The command that makes the scores again.
        progress: Told how far things are.
    """
    progress = progress or NoProgress()
    scored = _scored_cases(translator, cases, predictions, progress)
    summary = evaluate_cases(
        scored,
        protocol=make_protocol(translator),
        out=out,
        details=_describe(translator, refused, command),
    )
    people = tuple(sorted({case.subject for case in cases}))
    return Validation(summary, out / "report.html", people, tuple(refused))


def divide_cases(cases: Sequence[Case], split: Split) -> tuple[list[Case], list[str]]:
    """The cases of held-out people, and the people a model was trained or validated on."""
    seen = {*split.subjects("train"), *split.subjects("val")}
    refused = sorted({case.subject for case in cases if case.subject in seen})
    return [case for case in cases if case.subject not in seen], refused


def make_protocol(translator: Translator) -> Protocol:
    """The default rule, with predictions scaled by what their sidecar records."""
    axis = translator.pipeline.evaluation.axis
    return Protocol(scale="sidecar", axis=axis)


def _scored_cases(
    translator: Translator,
    cases: Sequence[Case],
    predictions: Mapping[str, Path] | None,
    progress: Progress,
) -> Iterator[ScoredCase]:
    """One case at a time: the model and its baselines on the source's own grid."""
    progress.stage("score", len(cases))
    for number, case in enumerate(cases):
        progress.update(number, case.name)
        yield _scored_case(
            translator, case, None if predictions is None else predictions[case.name]
        )
    progress.update(len(cases))


def _scored_case(translator: Translator, case: Case, written: Path | None) -> ScoredCase:
    prepared = translator.prepare(case)
    _refuse_seen(translator, case, prepared.fingerprint["inputs"]["source"])
    if written is None:
        model = translator.predict(prepared).volume
    else:
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
    return ScoredCase(
        name=case.name,
        subject=case.subject,
        reference=replace(reference.volume, modality=translator.target_suffix),
        predictions=predictions,
        mask=native_mask(prepared) & reference.seen,
        source=read_volume(case.source),
        context=_context(case, reference),
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


def _describe(translator: Translator, refused: Sequence[str], command: str) -> EvaluationDetails:
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


def _data_words(datasets: Sequence[Path]) -> list[str]:
    return [word for path in datasets for word in ("--data", path.name)]
