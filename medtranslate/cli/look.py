"""Commands that look at data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from medtranslate.cli.app import app, finish
from medtranslate.cli.options import (
    Cluster,
    Data,
    Json,
    Out,
    Overrides,
    PipelineFile,
    WatermarkKeyFile,
)

if TYPE_CHECKING:
    # Help must answer at once: what runs and prints a command is imported when one is run.
    from medtranslate.cli.output import Outcome
    from medtranslate.workflows.progress import Progress

PANEL = "Look at data"


@app.command(rich_help_panel=PANEL)
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

    finish(context, job, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def preprocess(
    context: typer.Context,
    pipeline: PipelineFile,
    data: Data,
    out: Out,
    overrides: Overrides = None,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Prepare every case as the pipeline says, and write the volumes with their fingerprints."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.progress import tell_loading

        tell_loading(progress)
        from medtranslate.cli.summaries import show_preprocessing
        from medtranslate.pipeline import read_pipeline
        from medtranslate.workflows.preprocess import preprocess_dataset

        settings = read_pipeline(pipeline, overrides or ())
        return show_preprocessing(
            preprocess_dataset(settings, data, out, cluster=cluster, progress=progress)
        )

    finish(context, job, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def verify(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(metavar="FILE|DIR", help="Synthetic scan, or what a command wrote.")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", metavar="PATH", help="Where the inputs lie; may be repeated."),
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Make the synthetic scans again and compare.")
    ] = False,
    models: Annotated[
        list[Path] | None,
        typer.Option("--model", metavar="MODEL", help="Model for --replay; may be repeated."),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Public key that must have signed.")
    ] = None,
    watermark_key: WatermarkKeyFile = None,
    as_json: Json = False,
) -> None:
    """Say which marks and fingerprints are there, and which of them still hold."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.progress import tell_loading

        tell_loading(progress)
        from medtranslate.cli.summaries import show_verification
        from medtranslate.workflows.verify import verify as verify_path

        verification = verify_path(
            path,
            data=data or (),
            models=models or (),
            replay=replay,
            signer=key,
            watermark_key=watermark_key,
            progress=progress,
        )
        return show_verification(verification)

    finish(context, job, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def phantom(
    context: typer.Context,
    out: Out,
    subjects: Annotated[int, typer.Option("--subjects", metavar="N", min=1, help="How many.")],
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Same seed, same bytes.")],
    spacing_mm: Annotated[
        float, typer.Option("--spacing-mm", metavar="MM", help="Voxel size.")
    ] = 2.0,
    visits: Annotated[int, typer.Option("--visits", metavar="N", help="Visits a person.")] = 1,
    disease: Annotated[
        Literal["atrophy", "tumour", "lesions"] | None,
        typer.Option("--disease", help="What changes them, at 2 to 12 visits at random times."),
    ] = None,
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
            disease=disease,
            progress=progress,
        )
        return show_phantom(out, subjects=subjects)

    finish(context, job, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def schema(context: typer.Context, as_json: Json = False) -> None:
    """Print the JSON Schema of the pipeline file."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.output import Outcome
        from medtranslate.cli.progress import tell_loading

        tell_loading(progress)
        from medtranslate.pipeline import pipeline_schema

        return Outcome(pipeline_schema())

    finish(context, job, as_json=True)
