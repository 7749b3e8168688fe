"""The application that every command is part of: its help, version, and how a command ends."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    # Help must answer at once: what runs and prints a command is imported when one is run.
    from medtranslate.cli.output import Job

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


def finish(context: typer.Context, job: Job, *, as_json: bool) -> NoReturn:
    """Run a command's job, print what came of it, and end with its exit code."""
    from medtranslate.cli.output import perform

    going_on = _say_how_to_go_on(context)
    raise typer.Exit(perform(job, as_json=as_json or bool(context.obj), going_on=going_on))


def _say_how_to_go_on(context: typer.Context) -> str:
    """What to do after a command was stopped, or found no place to write to."""
    if "resume" in context.params:
        return "Go on with the same command and --resume"
    if context.params.get("baseline") is not None:  # a folder that is there is not simulated into
        return "Remove what it wrote, then call it again"
    return "Go on with the same command"
