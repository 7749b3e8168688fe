"""Commands that build a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtranslate.cli.app import app, finish
from medtranslate.cli.options import (
    Data,
    DryRun,
    EngineName,
    Json,
    Memory,
    Overrides,
    PipelineFile,
    Precision,
    Resume,
    Run,
)

if TYPE_CHECKING:
    # Help must answer at once: what runs and prints a command is imported when one is run.
    from medtranslate.cli.output import Outcome
    from medtranslate.pipeline import Pipeline
    from medtranslate.workflows.progress import Progress

PANEL = "Build a model"


@app.command(rich_help_panel=PANEL)
def run(
    context: typer.Context,
    pipeline: PipelineFile,
    data: Data,
    out: Run,
    overrides: Overrides = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    memory: Memory = None,
    engine: EngineName = None,
    precision: Precision = None,
    as_json: Json = False,
) -> None:
    """Train, translate the held-out people, score them and write the report."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.progress import tell_loading

        tell_loading(progress)
        from medtranslate.cli.summaries import show_run
        from medtranslate.inference.settings import InferenceChoices, parse_memory
        from medtranslate.pipeline import read_pipeline
        from medtranslate.workflows.cross_validate import cross_validate, is_repeated
        from medtranslate.workflows.run import run_pipeline

        choices = InferenceChoices(parse_memory(memory), engine, precision)
        settings = read_pipeline(pipeline, [*(overrides or ()), *choices.to_overrides()])
        if dry_run:
            return _show_sizing(settings, progress)
        settings = _fit(settings, out if resume else None, progress)
        if is_repeated(settings):
            from medtranslate.cli.summaries import show_cross_validation

            return show_cross_validation(
                cross_validate(settings, data, out, resume=resume, progress=progress)
            )
        result = run_pipeline(settings, data, out, resume=resume, progress=progress)
        return show_run(result)

    finish(context, job, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def train(
    context: typer.Context,
    pipeline: PipelineFile,
    data: Data,
    out: Run,
    overrides: Overrides = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train a model and write the run folder."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.progress import tell_loading

        tell_loading(progress)
        from medtranslate.cli.output import ExitCode
        from medtranslate.cli.summaries import show_training
        from medtranslate.pipeline import read_pipeline
        from medtranslate.workflows.processes import find_processes
        from medtranslate.workflows.train import train as train_model

        settings = read_pipeline(pipeline, overrides or ())
        if dry_run:
            return _show_sizing(settings, progress)
        settings = _fit(settings, out if resume else None, progress)
        model = train_model(settings, data, out, resume=resume, progress=progress)
        if not find_processes().is_first:
            raise SystemExit(ExitCode.DONE)  # The first process tells what came of it.
        ahead = "simulate {} BASELINE --at 1y --out DIR"
        usual = "validate {} --data DATASET"
        return show_training(model, next_command=ahead if settings.is_progression else usual)

    finish(context, job, as_json=as_json)


@app.command("import", rich_help_panel=PANEL)
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights as .pt or .pth.")],
    like: Annotated[
        Path, typer.Option("--like", metavar="MODEL", help="Model whose network they are for.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="MODEL", help="Model folder to write; new or empty.")
    ],
    allow_pickle: Annotated[
        bool,
        typer.Option("--allow-pickle", help="Read tensors, and nothing else, out of a pickle."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Put weights that another program saved into a model folder, without running the file."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.progress import tell_loading

        tell_loading(progress)
        from medtranslate.cli.summaries import show_import
        from medtranslate.workflows.import_weights import import_weights

        sha256 = import_weights(file, like=like, out=out, pickles_allowed=allow_pickle)
        return show_import(out, sha256)

    finish(context, job, as_json=as_json)


def _fit(pipeline: Pipeline, run: Path | None, progress: Progress) -> Pipeline:
    """The pipeline with the sizes that this machine can train in its time, which are told."""
    if pipeline.train is None or pipeline.train.min_steps is None:
        return pipeline
    from medtranslate.workflows.sizing import fit_to_machine

    sizing = fit_to_machine(pipeline, run=run, progress=progress)
    progress.tell(sizing.describe())
    return sizing.pipeline


def _show_sizing(pipeline: Pipeline, progress: Progress) -> Outcome:
    """What would be trained here."""
    from medtranslate.cli.summaries import show_sizing
    from medtranslate.workflows.sizing import fit_to_machine

    return show_sizing(fit_to_machine(pipeline, progress=progress))
