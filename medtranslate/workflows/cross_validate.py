"""Repeat a run for each fold and seed, and evaluate everybody whom it held out at once."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medtranslate.data.folds import draw_folds
from medtranslate.data.index import index_datasets
from medtranslate.errors import ConfigError
from medtranslate.io.atomic import write_json
from medtranslate.io.documents import read_document
from medtranslate.io.locking import lock_folder
from medtranslate.manifest import load_signing_key, sign_outputs, take_snapshot
from medtranslate.pipeline import Pipeline
from medtranslate.provenance import describe_run, hash_json
from medtranslate.report.details import EvaluationDetails
from medtranslate.workflows.analyses.seeds import SEED_KEY, SeedSpread
from medtranslate.workflows.cohort import assemble_cohort, join_participants, pair_scans
from medtranslate.workflows.evaluate import evaluate_cases
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.repeated import (
    AbstractRepeated,
    RepeatedContrasts,
    RepeatedFollowUps,
)
from medtranslate.workflows.run import RunResult, run_pipeline
from medtranslate.workflows.run_scores import FOLDS_FILE, HASH_DIGITS, SPLIT_FILE, SPLIT_HASH_KEY
from medtranslate.workflows.scored_case import ScoredCase, UnscoredCase
from medtranslate.workflows.train import open_run
from medtranslate.workflows.translated_case import TranslatedScan
from medtranslate.workflows.validate import Validation, find_scored


@dataclass(frozen=True)
class Repeat:
    """One of the runs.

    Attributes:
        name: Of its folder, such as ``fold-1-seed-2``.
        pipeline: An ordinary job that can be repeated alone.
        facts: ``fold`` and ``seed`` of it, where there are several, for the tables.
    """

    name: str
    pipeline: Pipeline
    facts: Mapping[str, str]


@dataclass(frozen=True)
class CrossValidation:
    """What a cross-validation left behind.

    Attributes:
        folder: The folder of all runs.
        folds: The run of each fold and seed.
        validation: Scores and report of everybody.
    """

    folder: Path
    folds: tuple[RunResult, ...]
    validation: Validation

    @property
    def failed(self) -> tuple[TranslatedScan, ...]:
        """The scans that could not be translated, of all folds."""
        return tuple(scan for fold in self.folds for scan in fold.failed)

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
    """Run the pipeline once a fold and seed, then score everybody by models that never saw them.

    Args:
        pipeline: The whole job; ``split.folds`` and ``train.seeds`` say how many.
        datasets: Dataset folders or tables.
        out: Folder for ``fold-1 ...``, each a whole run folder, and the common ``evaluation``.
        resume: Do what is missing.
        progress: Told how far things are.

    Raises:
        ConfigError: If neither folds nor seeds are asked for, or ``out`` holds a run that is not to
            be resumed, of another pipeline or of other people.
        DatasetError: If scans cannot be paired or people would leak.
    """
    if not is_repeated(pipeline):
        raise ConfigError(
            "split.folds says in how many folds to cross-validate, train.seeds with how many seeds "
            "to train; give one of them a number"
        )
    progress = progress or NoProgress()
    indexes = index_datasets(datasets)
    cases, pairs = pair_scans(pipeline, indexes)
    participants = join_participants(indexes)
    count = pipeline.split.folds
    folds = draw_folds(cases, participants, pipeline.split, count=count) if count else []
    with lock_folder(out):
        key, before = load_signing_key(), take_snapshot(out)
        open_run(pipeline, out, resume=resume)
        if folds:
            assignment = {who: _fold_name(n) for n, fold in enumerate(folds) for who in fold}
            split_hash = _record_assignment(out / FOLDS_FILE, assignment)
        else:
            assignment = dict(assemble_cohort(pipeline, datasets).split.to_json()["subjects"])
            split_hash = _record_assignment(out / SPLIT_FILE, assignment)
        repeats = list_repeats(pipeline, folds)
        runs = tuple(
            run_pipeline(
                repeat.pipeline,
                datasets,
                out / repeat.name,
                resume=resume,
                cache=out / "cache",
                progress=progress,
            )
            for repeat in repeats
        )
        data = [word for path in datasets for word in ("--data", path.name)]
        words = ["medtranslate", "run", f"{out.name}/pipeline.yaml", *data, "--out", "again"]
        repeated: AbstractRepeated = (
            RepeatedFollowUps(cases, pairs, participants)
            if pipeline.is_progression
            else RepeatedContrasts(pipeline, cases, participants)
        )
        told = repeated.describe(runs[0], command=shlex.join(words))
        details = _describe(pipeline, told, folds, repeats, split_hash)
        scored = _predict_repeats(repeated, repeats, runs, progress)
        validation = _score(pipeline, repeated, scored, details, out)
        made = describe_run(
            "medtranslate run",
            pipeline=pipeline.name,
            model_sha256=[run.model_sha256 for run in runs],
        )
        sign_outputs(out, since=before, record=made, key=key)
        return CrossValidation(out, runs, validation)


def is_repeated(pipeline: Pipeline) -> bool:
    """Whether a pipeline asks for more than one run."""
    return pipeline.split.folds is not None or pipeline.num_seeds > 1


def list_repeats(pipeline: Pipeline, folds: Sequence[Sequence[str]]) -> list[Repeat]:
    """Every run of a job, fold by fold and within each seed by seed.

    Args:
        pipeline: The whole job.
        folds: Whom each fold holds out; none to leave the split as it is.
    """
    train, count = pipeline.train, pipeline.num_seeds
    first = 0 if train is None else train.seed
    repeats = []
    for number, held_out in enumerate(folds or [None]):
        for seed in range(first, first + count):
            facts = {} if held_out is None else {"fold": _fold_name(number)}
            name = [*facts.values()] + [f"seed-{seed}"] * (count > 1)
            facts |= {SEED_KEY: str(seed)} if count > 1 else {}
            split = {} if held_out is None else {"folds": None, "test_subjects": tuple(held_out)}
            changed: dict[str, Any] = {"split": pipeline.split.model_copy(update=split)}
            if train is not None:
                changed["train"] = train.model_copy(update={"seed": seed, "seeds": 1})
            repeats.append(Repeat("-".join(name), pipeline.model_copy(update=changed), facts))
    return repeats


def _fold_name(number: int) -> str:
    return f"fold-{number + 1}"


def _record_assignment(path: Path, assignment: Mapping[str, str]) -> str:
    """Write who is held out by which fold, or the split of all seeds, and return its hash.

    Raises:
        ConfigError: If the folder was begun with other people.
    """
    found = {"subjects": dict(sorted(assignment.items()))}
    split_hash = hash_json(found["subjects"])
    if path.exists() and _read_hash(path) != split_hash:
        raise ConfigError(
            f"{path.parent}: was started with other people, who fell into other folds; resume with"
            " the same datasets, or choose another --out"
        )
    write_json(path, {**found, "hash": split_hash})
    return split_hash


def _read_hash(path: Path) -> object:
    try:
        return read_document(path).get("hash")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}); choose another --out, or remove the file"
        ) from error


def _score(
    pipeline: Pipeline,
    repeated: AbstractRepeated,
    scored: Iterator[ScoredCase | UnscoredCase],
    details: EvaluationDetails,
    out: Path,
) -> Validation:
    """One evaluation over all runs. What belongs to one model is in the report of its run."""
    summary = evaluate_cases(
        scored,
        protocol=repeated.make_protocol(pipeline),
        out=out / "evaluation",
        details=details,
        analyses=[*repeated.choose_analyses(pipeline.evaluation.protocols), SeedSpread()],
        all_or_none=False,
    )
    return Validation(summary, out / "evaluation" / "report.html", find_scored(summary), ())


def _predict_repeats(
    repeated: AbstractRepeated,
    repeats: Sequence[Repeat],
    runs: Sequence[RunResult],
    progress: Progress,
) -> Iterator[ScoredCase | UnscoredCase]:
    """What each run's model predicted of the people it held out; one model in memory.

    A case that several seeds predict has one name for each; its person is the same, so that
    statistics take the mean over seeds first.
    """
    for repeat, run in zip(repeats, runs, strict=True):
        seed = repeat.facts.get(SEED_KEY)
        for case in repeated.predict(run, progress=progress):
            suffix = "" if seed is None else f" seed {seed}"
            if isinstance(case, ScoredCase):
                context = {**case.context, **repeat.facts}
                yield replace(case, name=case.name + suffix, context=context)
            else:
                yield replace(case, case=case.case + suffix)


def _describe(
    pipeline: Pipeline,
    details: EvaluationDetails,
    folds: Sequence[Sequence[str]],
    repeats: Sequence[Repeat],
    split_hash: str,
) -> EvaluationDetails:
    """The report's facts: those of the first model that hold for all, the folds and the seeds."""
    seeds = list(dict.fromkeys(one.facts[SEED_KEY] for one in repeats if SEED_KEY in one.facts))
    ways = [f"cross-validation in {len(folds)} folds"] * bool(folds)
    ways += [f"{len(seeds)} seeds"] * bool(seeds)
    split = dict(details.split)
    if folds:
        people = " + ".join(str(len(fold)) for fold in folds)
        total = sum(len(fold) for fold in folds)
        split = {"folds": f"{len(folds)}, which hold out {people} of {total} people"}
    return replace(
        details,
        title=f"{pipeline.name}: {pipeline.task}, {', '.join(ways)}",
        split={**split, SPLIT_HASH_KEY: split_hash[:HASH_DIGITS]},
        how_made={
            **{key: text for key, text in details.how_made.items() if key != "model"},
            "models": f"{len(repeats)}, in {repeats[0].name} to {repeats[-1].name}",
        },
        notes=[*_fold_notes(len(folds)), *_seed_notes(seeds), _OWN_REPORTS],
    )


_OWN_REPORTS = (
    "What belongs to one model, such as calibrated intervals and trials with changed sources, "
    "stands in the report of each run."
)


def _fold_notes(count: int) -> list[str]:
    if not count:
        return []
    return [
        f"Every person was held out exactly once: {count} folds, each person predicted by "
        "models that never saw them.",
        "The models of two folds share most of their training people, so their scores are not "
        "quite independent and intervals over people are a little too narrow.",
    ]


def _seed_notes(seeds: Sequence[str]) -> list[str]:
    if not seeds:
        return []
    return [
        f"Each person was predicted {len(seeds)} times, by models that differ in their seed "
        f"alone ({', '.join(seeds)}); the mean over seeds is the person's score."
    ]
