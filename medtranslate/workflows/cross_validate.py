"""Cross-validate: a run for each fold, and one evaluation of everybody, held out once each."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medtranslate.data.cases import Case, find_cases
from medtranslate.data.folds import draw_folds
from medtranslate.data.index import index_datasets
from medtranslate.errors import ConfigError
from medtranslate.io.atomic import write_json
from medtranslate.io.locking import lock_folder
from medtranslate.pipeline import Pipeline
from medtranslate.provenance import hash_json
from medtranslate.report.details import EvaluationDetails
from medtranslate.workflows.analyses.choose import choose_analyses
from medtranslate.workflows.cohort import join_participants
from medtranslate.workflows.ensemble import load_chosen_translator
from medtranslate.workflows.evaluate import evaluate_cases
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.run import RunResult, run_pipeline
from medtranslate.workflows.run_scores import FOLDS_FILE, HASH_DIGITS, SPLIT_HASH_KEY
from medtranslate.workflows.scored_case import ScoredCase
from medtranslate.workflows.train import open_run
from medtranslate.workflows.translate import TranslatedScan
from medtranslate.workflows.validate import (
    Validation,
    describe_evaluation,
    make_protocol,
    predict_cases,
)


@dataclass(frozen=True)
class CrossValidation:
    """What a cross-validation left behind.

    Attributes:
        folder: The folder of all folds.
        folds: The run of each fold.
        validation: Scores and report of everybody.
    """

    folder: Path
    folds: tuple[RunResult, ...]
    validation: Validation

    @property
    def failed(self) -> tuple[TranslatedScan, ...]:
        """The scans that could not be translated, of all folds."""
        return tuple(scan for fold in self.folds for scan in fold.translation.failed)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "run": str(self.folder),
            "folds": [fold.to_json() for fold in self.folds],
            **self.validation.to_json(),
        }


def cross_validate(
    pipeline: Pipeline,
    datasets: Sequence[Path],
    out: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> CrossValidation:
    """Run the pipeline once a fold, then score everybody by the model that never saw them.

    Args:
        pipeline: The whole job; ``split.folds`` says how many.
        datasets: Dataset folders or tables.
        out: Folder for ``fold-1 ...``, each a whole run folder, and the common ``evaluation``.
        resume: Do what is missing.
        progress: Told how far things are.

    Raises:
        ConfigError: If no folds are asked for, or ``out`` holds a run that is not to be resumed or
            of another pipeline or other people.
        DatasetError: If scans cannot be paired or people would leak.
    """
    count = pipeline.split.folds
    if count is None:
        raise ConfigError("split.folds says in how many folds to cross-validate; give it a number")
    progress = progress or NoProgress()
    indexes = index_datasets(datasets)
    cases = find_cases(indexes, source=pipeline.source, target=pipeline.target, mask=pipeline.mask)
    participants = join_participants(indexes)
    folds = draw_folds(cases, participants, pipeline.split, count=count)
    with lock_folder(out):
        open_run(pipeline, out, resume=resume)
        assignment = {who: _name(number) for number, fold in enumerate(folds) for who in fold}
        split_hash = _record_folds(out / FOLDS_FILE, assignment)
        runs = tuple(
            run_pipeline(
                _pipeline_of_fold(pipeline, fold),
                datasets,
                out / _name(number),
                resume=resume,
                cache=out / "cache",
                progress=progress,
            )
            for number, fold in enumerate(folds)
        )
        data = [word for path in datasets for word in ("--data", path.name)]
        words = ["medtranslate", "run", f"{out.name}/pipeline.yaml", *data, "--out", "again"]
        details = _describe(_load(pipeline, runs[0].folder), folds, split_hash, shlex.join(words))
        validation = _score(pipeline, runs, cases, participants, details, out, progress)
        return CrossValidation(out, runs, validation)


def _name(number: int) -> str:
    return f"fold-{number + 1}"


def _record_folds(path: Path, assignment: Mapping[str, str]) -> str:
    """Write who is held out by which fold, and return the hash of it.

    Raises:
        ConfigError: If the folder was begun with other people.
    """
    found = {"subjects": dict(sorted(assignment.items()))}
    split_hash = hash_json(found["subjects"])
    if path.exists() and json.loads(path.read_text(encoding="utf-8"))["hash"] != split_hash:
        raise ConfigError(
            f"{path.parent}: was started with other people, who fell into other folds; resume with"
            " the same datasets, or choose another --out"
        )
    write_json(path, {**found, "hash": split_hash})
    return split_hash


def _pipeline_of_fold(pipeline: Pipeline, held_out: Sequence[str]) -> Pipeline:
    """The same job with these people held out: an ordinary run that can be repeated alone."""
    split = pipeline.split.model_copy(update={"folds": None, "test_subjects": tuple(held_out)})
    return pipeline.model_copy(update={"split": split})


def _load(pipeline: Pipeline, folder: Path) -> Translator:
    return load_chosen_translator(folder, uncertainty=pipeline.evaluation.uncertainty)


def _score(
    pipeline: Pipeline,
    runs: Sequence[RunResult],
    cases: Sequence[Case],
    participants: Mapping[str, Mapping[str, str]],
    details: EvaluationDetails,
    out: Path,
    progress: Progress,
) -> Validation:
    """One evaluation over the folds. What belongs to one model is in the report of its fold."""
    scored = _predict_folds(pipeline, runs, cases, participants, progress)
    summary = evaluate_cases(
        scored,
        protocol=make_protocol(_load(pipeline, runs[0].folder)),
        out=out / "evaluation",
        details=details,
        analyses=choose_analyses(protocols=pipeline.evaluation.protocols, thorough=True),
    )
    people = sorted({who for run in runs for who in run.validation.scored})
    return Validation(summary, out / "evaluation" / "report.html", tuple(people), ())


def _predict_folds(
    pipeline: Pipeline,
    runs: Sequence[RunResult],
    cases: Sequence[Case],
    participants: Mapping[str, Mapping[str, str]],
    progress: Progress,
) -> Iterator[ScoredCase]:
    """What each fold's model predicted of the people it held out; one model in memory."""
    for run in runs:
        scans = run.translation.scans
        written = {scan.case: scan.output for scan in scans if scan.output is not None}
        scored = predict_cases(
            _load(pipeline, run.folder),
            [case for case in cases if case.name in written],
            predictions=written,
            participants=participants,
            progress=progress,
        )
        for case in scored:
            yield replace(case, context={**case.context, "fold": run.folder.name})


def _describe(
    translator: Translator, folds: Sequence[Sequence[str]], split_hash: str, command: str
) -> EvaluationDetails:
    """The report's facts: those of the first fold's model that hold for all, and the folds."""
    details = describe_evaluation(translator, seen=(), command=command)
    pipeline = translator.pipeline
    people = sum(len(fold) for fold in folds)
    return replace(
        details,
        title=f"{pipeline.name}: {pipeline.source} to {pipeline.target}, cross-validation in "
        f"{len(folds)} folds",
        split={
            "folds": f"{len(folds)}, which hold out {' + '.join(str(len(f)) for f in folds)} of "
            f"{people} people",
            SPLIT_HASH_KEY: split_hash[:HASH_DIGITS],
        },
        how_made={
            **{key: text for key, text in details.how_made.items() if key != "model"},
            "models": f"one a fold, in {_name(0)} to {_name(len(folds) - 1)}",
        },
        notes=[
            f"Every person was held out exactly once: {len(folds)} folds, each person predicted by "
            "the one model that never saw them.",
            "The models of two folds share most of their training people, so their scores are not "
            "quite independent and intervals over people are a little too narrow.",
            "What belongs to one model, such as calibrated intervals and trials with changed "
            "sources, stands in the report of each fold.",
        ],
    )
