"""Commands that look ahead: simulated futures, and plans around them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtranslate.cli.app import app, finish
from medtranslate.cli.options import Cluster, Json, Model, Out
from medtranslate.cli.simulating import SimulateRequest

if TYPE_CHECKING:
    # Help must answer at once: what runs and prints a command is imported when one is run.
    from medtranslate.cli.output import Outcome
    from medtranslate.workflows.progress import Progress

PANEL = "Look ahead"


@app.command(rich_help_panel=PANEL)
def simulate(
    context: typer.Context,
    model: Model,
    at: Annotated[
        str, typer.Option("--at", metavar="TIMES", help="How far ahead, such as 6m,1y,2y.")
    ],
    out: Out,
    baseline: Annotated[
        Path | None, typer.Argument(metavar="BASELINE", help="Today's scan of one person.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            metavar="DATASET",
            help="In place of BASELINE: everybody's latest visit; may be repeated.",
        ),
    ] = None,
    covariate: Annotated[
        list[str] | None,
        typer.Option("--covariate", metavar="NAME=VALUE", help="As in age=63; may be repeated."),
    ] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(
            "--history",
            metavar="FILE=TIME",
            help="Earlier scan and how long before, as in old.nii.gz=1y; may be repeated.",
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            "--samples", metavar="N", min=0, max=1000, help="Futures drawn for the spread."
        ),
    ] = 20,
    region: Annotated[
        Path | None,
        typer.Option("--region", metavar="MASK", help="Region to follow; else the whole patient."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same futures.")] = 0,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Simulate what today's scan may look like later: volumes, deformations, a trajectory."""
    request = SimulateRequest(
        model=model,
        baseline=baseline,
        datasets=tuple(data or ()),
        at=at,
        out=out,
        covariates=tuple(covariate or ()),
        history=tuple(history or ()),
        samples=samples,
        region=region,
        seed=seed,
        cluster=cluster,
    )
    finish(context, request.perform, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def plan(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What simulate wrote.")],
    out: Out,
    coverage: Annotated[
        float, typer.Option("--coverage", min=0.01, max=0.999, help="Share to cover, as in 0.9.")
    ] = 0.9,
    margin_max: Annotated[
        str, typer.Option("--margin-max", metavar="MM", help="Largest margin, as in 30mm.")
    ] = "30mm",
    barrier: Annotated[
        Path | None,
        typer.Option("--within", metavar="MASK", help="Anatomy that margins stay within."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the smallest margin around today's region that covers the simulated one."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.progress import tell_loading

        tell_loading(progress)
        from medtranslate.cli.summaries_ahead import show_plan
        from medtranslate.workflows.plan import parse_margin
        from medtranslate.workflows.plan import plan as make_plan

        largest = parse_margin(margin_max)
        return show_plan(
            make_plan(
                folder,
                out,
                coverage=coverage,
                margin_max_mm=largest,
                barrier=barrier,
                progress=progress,
            )
        )

    finish(context, job, as_json=as_json)
