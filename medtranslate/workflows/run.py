"""Run a whole pipeline: train, translate the held-out people, score them, write the report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medtranslate.checkpoint import load_model
from medtranslate.errors import CheckpointError, ConfigError, DatasetError
from medtranslate.io.locking import lock_folder
from medtranslate.manifest import load_signing_key, sign_outputs, take_snapshot
from medtranslate.pipeline import Pipeline
from medtranslate.workflows.cohort import Cohort, assemble_cohort
from medtranslate.workflows.ensemble import load_chosen_translator
from medtranslate.workflows.marking import describe_made
from medtranslate.workflows.model_card import write_scores
from medtranslate.workflows.processes import find_processes
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.train import train_in_locked
from medtranslate.workflows.translate import Translation, translate_cases
from medtranslate.workflows.validate import Validation, score_cases


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Attributes:
        folder: The run folder.
        translation: What became of each held-out person's source.
        validation: Scores and report.
    """

    folder: Path
    translation: Translation
    validation: Validation

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "run": str(self.folder),
            "model": str(self.folder / "model"),
            "translation": self.translation.to_json(),
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
    """Train, translate the held-out people, score them and write the report.

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
    if find_processes().count > 1:
        raise ConfigError("several processes can train, not run: use 'train', then 'validate'")
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
    translator = load_chosen_translator(out, uncertainty=pipeline.evaluation.uncertainty)
    translation = translate_cases(
        translator, held_out, out / "predictions", keep=resume, progress=progress
    )
    written = {scan.case: scan.output for scan in translation.scans if scan.output is not None}
    if not written:
        reasons = "\n  ".join(f"{scan.case}: {scan.error}" for scan in translation.failed)
        raise DatasetError(f"no held-out person could be translated:\n  {reasons}")
    data = [word for path in datasets for word in ("--data", path.name)]
    validation = score_cases(
        translator,
        [case for case in held_out if case.name in written],
        out / "evaluation",
        predictions=written,
        training=cohort.part("train") if pipeline.evaluation.downstream else (),
        participants=cohort.participants,
        command=shlex.join(
            ["medtranslate", "run", f"{out.name}/pipeline.yaml", *data, "--out", "again"]
        ),
        progress=progress,
    )
    write_scores(translator.model, validation.summary)
    made = describe_made(
        "medtranslate run",
        model_sha256=translator.model.sha256,
        pipeline=pipeline.name,
        cases=held_out,
    )
    sign_outputs(out, since=before, record=made, key=key)
    return RunResult(out, translation, validation)


def _is_trained(pipeline: Pipeline, cohort: Cohort, out: Path) -> bool:
    """Whether the run holds a whole model of this very job.

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
    return True
