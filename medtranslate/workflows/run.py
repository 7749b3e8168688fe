"""Run a whole pipeline: train, predict held-out people's scans, score them, write the report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medtranslate.checkpoint import LoadedModel, load_model
from medtranslate.checkpoint.model import CONFIG_FILE
from medtranslate.errors import CheckpointError, ConfigError, DatasetError
from medtranslate.io.locking import lock_folder
from medtranslate.manifest import (
    load_signing_key,
    read_recorded,
    sign_outputs,
    take_snapshot,
)
from medtranslate.pipeline import Pipeline
from medtranslate.workflows.cohort import Cohort, assemble_cohort
from medtranslate.workflows.device import check_precision
from medtranslate.workflows.ensemble import load_chosen_translator
from medtranslate.workflows.follow_ups import score_follow_ups
from medtranslate.workflows.forecaster import load_forecaster
from medtranslate.workflows.marking import describe_made
from medtranslate.workflows.model_card import STOPPED_KEY, write_scores
from medtranslate.workflows.processes import find_processes
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.train import train_in_locked
from medtranslate.workflows.translate import Translation, translate_cases
from medtranslate.workflows.translated_case import TranslatedScan
from medtranslate.workflows.validate import Validation, score_cases
from medtranslate.workflows.validation_choices import ValidationChoices


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Attributes:
        folder: The run folder.
        model_sha256: Of the model that was scored.
        translation: What became of each held-out person's source; None of a run that follows
            people through time, which writes no scans.
        validation: Scores and report.
    """

    folder: Path
    model_sha256: str
    translation: Translation | None
    validation: Validation

    @property
    def failed(self) -> tuple[TranslatedScan, ...]:
        """The scans that could not be translated."""
        return () if self.translation is None else self.translation.failed

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        translation = self.translation
        return {
            "run": str(self.folder),
            "model": str(self.folder / "model"),
            **({} if translation is None else {"translation": translation.to_json()}),
            **self.validation.to_json(),
        }


def run_pipeline(
    pipeline: Pipeline,
    datasets: Sequence[Path],
    out: Path,
    *,
    resume: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Train, translate or simulate the held-out people's scans, score them and write the report.

    Args:
        pipeline: The whole job.
        datasets: Dataset folders or tables.
        out: Run folder; must not hold another run unless ``resume``.
        resume: Do what is missing: go on training, keep scans that this model made.
        cache: Folder of prepared scans, shared between runs; ``out/cache`` if None.
        progress: Told how far things are.

    Raises:
        ConfigError: If ``out`` holds a run and ``resume`` is not set, one of another pipeline, or
            one that is being written.
        DatasetError: If scans cannot be paired, people would leak, or nobody is held out.
    """
    processes = find_processes()
    if processes.count > 1:
        raise ConfigError("several processes can train, not run: use 'train', then 'validate'")
    processes.check(pipeline)
    check_precision(pipeline)
    with lock_folder(out):
        return _run_in_locked(
            pipeline, datasets, out, resume=resume, cache=cache, progress=progress or NoProgress()
        )


def _run_in_locked(
    pipeline: Pipeline,
    datasets: Sequence[Path],
    out: Path,
    *,
    resume: bool,
    cache: Path | None,
    progress: Progress,
) -> RunResult:
    cohort = assemble_cohort(pipeline, datasets)
    held_out = cohort.part("test")
    if not held_out:
        raise DatasetError(
            "the split holds nobody out (test), so nothing could be scored. Raise split.test, or"
            " use 'medtranslate train'"
        )
    if pipeline.evaluation.uncertainty and not cohort.part("val"):
        raise DatasetError(
            "the split lets nobody validate (val), so uncertainty could not be calibrated. Raise"
            " split.val, or set evaluation.uncertainty: false"
        )
    if not (resume and _is_trained(pipeline, cohort, out)):
        train_in_locked(pipeline, datasets, out, resume=resume, cache=cache, progress=progress)
    key, before = load_signing_key(), take_snapshot(out)
    data = [word for path in datasets for word in ("--data", path.name)]
    words = ["medtranslate", "run", f"{out.name}/pipeline.yaml", *data, "--out", "again"]
    command = shlex.join(words)
    if pipeline.is_progression:
        scored = _simulate_and_score(cohort, out, command=command, progress=progress)
    else:
        scored = _translate_and_score(
            pipeline, cohort, out, command=command, resume=resume, progress=progress
        )
    write_scores(scored.model, scored.validation.summary)
    made = describe_made(
        "medtranslate run",
        model_sha256=scored.model.sha256,
        pipeline=pipeline.name,
        cases=held_out,
    )
    sign_outputs(out, since=before, record=made, key=key)
    return RunResult(out, scored.model.sha256, scored.translation, scored.validation)


@dataclass(frozen=True)
class _Scored:
    model: LoadedModel
    translation: Translation | None
    validation: Validation


def _translate_and_score(
    pipeline: Pipeline, cohort: Cohort, out: Path, *, command: str, resume: bool, progress: Progress
) -> _Scored:
    """Write the held-out people's scans, and score what was written."""
    held_out = cohort.part("test")
    translator = load_chosen_translator(out, uncertainty=pipeline.evaluation.uncertainty)
    translation = translate_cases(
        translator, held_out, out / "predictions", keep=resume, progress=progress
    )
    written = {scan.case: scan.output for scan in translation.scans if scan.output is not None}
    if not written:
        reasons = "\n  ".join(f"{scan.case}: {scan.error}" for scan in translation.failed)
        raise DatasetError(f"no held-out person could be translated:\n  {reasons}")
    validation = score_cases(
        translator,
        [case for case in held_out if case.name in written],
        out / "evaluation",
        predictions=written,
        training=cohort.part("train") if pipeline.evaluation.downstream else (),
        participants=cohort.participants,
        command=command,
        progress=progress,
    )
    return _Scored(translator.model, translation, validation)


def _simulate_and_score(cohort: Cohort, out: Path, *, command: str, progress: Progress) -> _Scored:
    """Simulate the held-out people's follow-ups, anew if the run is resumed, and score them."""
    forecaster = load_forecaster(out)
    validation = score_follow_ups(
        forecaster,
        cohort.part("test"),
        cohort.pairs,
        out / "evaluation",
        participants=cohort.participants,
        choices=ValidationChoices(),
        command=command,
        progress=progress,
    )
    return _Scored(forecaster.model, None, validation)


def _is_trained(pipeline: Pipeline, cohort: Cohort, out: Path) -> bool:
    """Whether the run holds a whole model of this very job, trained to its end and signed.

    Where a training was killed before it signed, it goes on from its last checkpoint and ends anew.

    Raises:
        ConfigError: If its model is of another pipeline or other people.
    """
    try:
        model = load_model(out)
    except CheckpointError:
        return False
    if model.config.get("pipeline") != pipeline.model_dump(mode="json"):
        raise ConfigError(
            f"{out}: was trained by another pipeline; resume with that one, or choose another --out"
        )
    if model.config.get("split") != cohort.split.to_json():
        raise ConfigError(
            f"{out}: was trained on another division of people (datasets or split changed); choose"
            " another --out"
        )
    ended = STOPPED_KEY not in model.provenance
    return ended and read_recorded(out).holds(model.folder / CONFIG_FILE)
