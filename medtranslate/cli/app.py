"""The commands, their arguments and their help."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from medtranslate.cli.options import (
    Checklist,
    Companions,
    Data,
    Json,
    Model,
    Out,
    Overrides,
    PipelineFile,
    Protocols,
    Resume,
    Run,
    Uncertainty,
)

if TYPE_CHECKING:
    # Help must answer at once: what runs and prints a command is imported when one is run.
    from medtranslate.cli.output import Job, Outcome
    from medtranslate.workflows.progress import Progress

app = typer.Typer(
    name="medtranslate",
    help="Turn one 3-D medical scan into another, and prove how far the result can be trusted.\n\n"
    "Research use only; not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

BUILD, USE, LOOK = "Build a model", "Use a model", "Look at data"


def main() -> NoReturn:
    """Entry point of the ``medtranslate`` command."""
    arguments = sys.argv[1:]
    if "--json" not in arguments:
        sys.exit(app(args=arguments, prog_name="medtranslate"))
    from medtranslate.cli.output import ExitCode, report_usage_error

    try:
        code = app(args=arguments, prog_name="medtranslate", standalone_mode=False)
    except typer.TyperException as error:
        report_usage_error(error.format_message())
        code = ExitCode.USER_INPUT
    sys.exit(code)


def _print_version(wanted: bool) -> None:
    if wanted:
        from medtranslate import __version__

        typer.echo(f"medtranslate {__version__}")
        raise typer.Exit


@app.callback()
def _shared(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", hidden=True)] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    context.obj = as_json


@app.command(rich_help_panel=BUILD)
def run(
    context: typer.Context,
    pipeline: PipelineFile,
    data: Data,
    out: Run,
    overrides: Overrides = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Train, translate the held-out people, score them and write the report."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_run
        from medtranslate.pipeline import read_pipeline
        from medtranslate.workflows.run import run_pipeline

        settings = read_pipeline(pipeline, overrides or ())
        if settings.split.folds is not None:
            from medtranslate.cli.summaries import show_cross_validation
            from medtranslate.workflows.cross_validate import cross_validate

            return show_cross_validation(
                cross_validate(settings, data, out, resume=resume, progress=progress)
            )
        result = run_pipeline(settings, data, out, resume=resume, progress=progress)
        return show_run(result)

    _finish(context, job, as_json=as_json)


@app.command(rich_help_panel=LOOK)
def inspect(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="DATASET|FILE", help="What to look at.")],
    as_json: Json = False,
) -> None:
    """Say what is here, what is wrong with it, and who can be paired with whom."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_inspection
        from medtranslate.workflows.inspect import inspect_path

        return show_inspection(inspect_path(path))

    _finish(context, job, as_json=as_json)


@app.command(rich_help_panel=LOOK)
def preprocess(
    context: typer.Context,
    pipeline: PipelineFile,
    data: Data,
    out: Out,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Prepare every case as the pipeline says, and write the volumes with their fingerprints."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_preprocessing
        from medtranslate.pipeline import read_pipeline
        from medtranslate.workflows.preprocess import preprocess_dataset

        settings = read_pipeline(pipeline, overrides or ())
        return show_preprocessing(preprocess_dataset(settings, data, out, progress=progress))

    _finish(context, job, as_json=as_json)


@app.command(rich_help_panel=LOOK)
def verify(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Run folder, or what preprocess wrote.")
    ],
    as_json: Json = False,
) -> None:
    """Recompute the fingerprints and say which of them still hold."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_verification
        from medtranslate.workflows.verify import verify_folder

        return show_verification(verify_folder(folder, progress=progress))

    _finish(context, job, as_json=as_json)


@app.command(rich_help_panel=BUILD)
def train(
    context: typer.Context,
    pipeline: PipelineFile,
    data: Data,
    out: Run,
    overrides: Overrides = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Train a model and write the run folder."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_training
        from medtranslate.pipeline import read_pipeline
        from medtranslate.workflows.train import train as train_model

        settings = read_pipeline(pipeline, overrides or ())
        return show_training(train_model(settings, data, out, resume=resume, progress=progress))

    _finish(context, job, as_json=as_json)


@app.command(rich_help_panel=USE)
def translate(
    context: typer.Context,
    model: Model,
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="Scans, or datasets whose scans to translate."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE|DIR", help="File for one source, else folder.")
    ],
    mask: Annotated[
        Path | None,
        typer.Option("--mask", metavar="FILE", help="Mask of the source, if the model needs one."),
    ] = None,
    uncertainty: Uncertainty = False,
    companions: Companions = None,
    as_json: Json = False,
) -> None:
    """Make the synthetic scan of each source, on the source's own grid."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_translation
        from medtranslate.workflows.translate import translate as translate_sources

        translation = translate_sources(
            model,
            sources,
            out,
            mask=mask,
            uncertainty=uncertainty,
            companions=companions or (),
            progress=progress,
        )
        return show_translation(translation)

    _finish(context, job, as_json=as_json)


@app.command(rich_help_panel=USE)
def validate(
    context: typer.Context,
    model: Model,
    data: Data,
    out: Out,
    protocols: Protocols = None,
    audit: Annotated[
        bool,
        typer.Option(
            "--audit", help="Also degrade sources, put lesions in and out; 20 times the work."
        ),
    ] = False,
    uncertainty: Uncertainty = False,
    downstream: Annotated[
        bool,
        typer.Option(
            "--downstream", help="Also train a segmenter on real scans; try it on synthetic ones."
        ),
    ] = False,
    companions: Companions = None,
    checklist: Checklist = None,
    even_though_seen: Annotated[
        bool,
        typer.Option(
            "--even-though-seen-in-training",
            help="Score people the model was trained on too; marks every page.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Score a model and its baselines on people it never saw."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_validation
        from medtranslate.workflows.validate import validate as validate_model
        from medtranslate.workflows.validation_choices import ValidationChoices

        choices = ValidationChoices(
            protocols=protocols,
            audit=audit or None,
            uncertainty=uncertainty or None,
            downstream=downstream or None,
            companions=companions or (),
            checklist=checklist,
            even_though_seen=even_though_seen,
        )
        return show_validation(validate_model(model, data, out, choices=choices, progress=progress))

    _finish(context, job, as_json=as_json)


@app.command(rich_help_panel=USE)
def evaluate(
    context: typer.Context,
    reference: Annotated[
        Path, typer.Option("--reference", metavar="FILE|DIR", help="Real scan, or a folder.")
    ],
    prediction: Annotated[
        Path, typer.Option("--prediction", metavar="FILE|DIR", help="Synthetic scan, or a folder.")
    ],
    out: Out,
    mask: Annotated[
        Path | None,
        typer.Option("--mask", metavar="FILE|DIR", help="Where to score; else the foreground."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--source", metavar="FILE|DIR", help="Source scans, shown in the report."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", metavar="FILE|DIR", help="Masks and segmentations to score inside of."
        ),
    ] = None,
    scale: Annotated[
        Literal["shared", "sidecar", "each", "none"],
        typer.Option("--scale", help="What divides MR intensities; CT is never scaled."),
    ] = "shared",
    data_range: Annotated[
        float | None, typer.Option("--data-range", metavar="R", help="Range for --scale none.")
    ] = None,
    axis: Annotated[
        Literal["axial", "coronal", "sagittal"],
        typer.Option("--axis", help="Direction of the slices."),
    ] = "axial",
    protocols: Protocols = None,
    audit: Annotated[
        bool,
        typer.Option(
            "--audit",
            help="Also regions, sharpness, dose, and scans moved a little; 10 times the work.",
        ),
    ] = False,
    checklist: Checklist = None,
    as_json: Json = False,
) -> None:
    """Score synthetic scans against real ones, slice by slice."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_evaluation
        from medtranslate.metrics.protocol import Protocol
        from medtranslate.settings import validate_settings
        from medtranslate.workflows.evaluate import evaluate_paths

        values = {"scale": scale, "data_range": data_range, "axis": axis}
        protocol = validate_settings(Protocol, values, where="command line")
        summary = evaluate_paths(
            reference,
            prediction,
            mask=mask,
            source=source,
            labels=labels,
            protocol=protocol,
            protocols=protocols or (),
            audit=audit,
            checklist=checklist,
            out=out,
        )
        return show_evaluation(summary, out)

    _finish(context, job, as_json=as_json)


@app.command(rich_help_panel=USE)
def compare(
    context: typer.Context,
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Two or more run folders, or their scores."),
    ],
    out: Out,
    as_json: Json = False,
) -> None:
    """Compare runs on the same people, each with the first, with statistics."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_comparison
        from medtranslate.workflows.compare import compare_runs

        return show_comparison(compare_runs(runs, out), out)

    _finish(context, job, as_json=as_json)


@app.command(rich_help_panel=LOOK)
def phantom(
    context: typer.Context,
    out: Out,
    subjects: Annotated[int, typer.Option("--subjects", metavar="N", min=1, help="How many.")],
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Same seed, same bytes.")],
    spacing_mm: Annotated[
        float, typer.Option("--spacing-mm", metavar="MM", help="Voxel size.")
    ] = 2.0,
    visits: Annotated[int, typer.Option("--visits", min=1, max=2, help="Visits a person.")] = 1,
    as_json: Json = False,
) -> None:
    """Make a cohort of simulated people, of whom everything is known."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_phantom
        from medtranslate.workflows.phantom import make_phantom

        make_phantom(
            out,
            subjects=subjects,
            seed=seed,
            spacing_mm=spacing_mm,
            visits=visits,
            progress=progress,
        )
        return show_phantom(out, subjects=subjects)

    _finish(context, job, as_json=as_json)


@app.command(rich_help_panel=LOOK)
def schema(context: typer.Context, as_json: Json = False) -> None:
    """Print the JSON Schema of the pipeline file."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.output import Outcome
        from medtranslate.pipeline import pipeline_schema

        return Outcome(pipeline_schema())

    _finish(context, job, as_json=True)


def _finish(context: typer.Context, job: Job, *, as_json: bool) -> NoReturn:
    from medtranslate.cli.output import perform

    raise typer.Exit(perform(job, as_json=as_json or bool(context.obj)))
