"""Commands in the forms that other programs and archives expect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from medtranslate.cli.app import app, finish
from medtranslate.cli.options import EngineName, Json, Memory, Model, Out, Precision, Uncertainty

if TYPE_CHECKING:
    # Help must answer at once: what runs and prints a command is imported when one is run.
    from medtranslate.cli.output import Outcome
    from medtranslate.workflows.progress import Progress

PANEL = "Work with other programs"


@app.command(rich_help_panel=PANEL)
def bids(
    context: typer.Context,
    bids_dir: Annotated[Path, typer.Argument(metavar="BIDS_DIR", help="BIDS dataset.")],
    out: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Derivative dataset to write.")],
    level: Annotated[
        str, typer.Argument(metavar="LEVEL", help="participant; there is no group level.")
    ],
    model: Annotated[
        Path, typer.Option("--model", metavar="MODEL", help="Run folder or its model/ folder.")
    ],
    further: Annotated[
        list[str] | None,
        typer.Argument(metavar="LABEL...", help="Further labels after --participant-label."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--participant-label", "--participant_label", metavar="LABEL",
            help="Participants to translate, as in 01 02; all by default.",
        ),
    ] = None,
    uncertainty: Uncertainty = False,
    memory: Memory = None,
    engine: EngineName = None,
    precision: Precision = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Translate a BIDS dataset in the form of BIDS Apps."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.progress import tell_loading

        tell_loading(progress)
        from medtranslate.cli.summaries import show_translation
        from medtranslate.errors import ConfigError
        from medtranslate.inference.settings import InferenceChoices, parse_memory
        from medtranslate.workflows.bids_app import translate_participants

        if further and not labels:
            raise ConfigError(
                f"'{further[0]}' follows the analysis level; participants are named after"
                " --participant-label"
            )
        translation = translate_participants(
            model,
            bids_dir,
            out,
            level=level,
            labels=[*(labels or ()), *(further or ())],
            uncertainty=uncertainty,
            inference=InferenceChoices(parse_memory(memory), engine, precision),
            progress=progress,
        )
        return show_translation(translation)

    finish(context, job, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def export(
    context: typer.Context,
    model: Model,
    form: Annotated[
        Literal["monai-bundle", "onnx", "openvino", "huggingface"],
        typer.Option("--to", help="Form to write."),
    ],
    out: Out,
    as_json: Json = False,
) -> None:
    """Write a model in the form of another program, checked against the model itself."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.progress import tell_loading

        tell_loading(progress)
        from medtranslate.cli.summaries import show_export
        from medtranslate.workflows.export.exporting import export_model

        return show_export(export_model(model, form, out))

    finish(context, job, as_json=as_json)
