"""Commands that use a model, or score what one made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from medtranslate.cli.app import app, finish
from medtranslate.cli.options import (
    Checklist,
    Cluster,
    Companions,
    Data,
    EngineName,
    Fix,
    Format,
    Identity,
    Json,
    Memory,
    Model,
    Out,
    Perceptual,
    Precision,
    Protocols,
    Regions,
    Uncertainty,
    Watermark,
)
from medtranslate.cli.translating import TranslateRequest

if TYPE_CHECKING:
    # Help must answer at once: what runs and prints a command is imported when one is run.
    from medtranslate.cli.output import Outcome
    from medtranslate.workflows.progress import Progress

PANEL = "Use a model"


@app.command(rich_help_panel=PANEL)
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
    memory: Memory = None,
    engine: EngineName = None,
    precision: Precision = None,
    cluster: Cluster = None,
    fix: Fix = None,
    output_format: Format = "nifti",
    identity: Identity = None,
    regions: Regions = None,
    watermark: Watermark = False,
    as_json: Json = False,
) -> None:
    """Make the synthetic scan of each source, on the source's own grid."""
    request = TranslateRequest(
        model=model,
        sources=tuple(sources),
        out=out,
        mask=mask,
        uncertainty=uncertainty,
        companions=tuple(companions or ()),
        memory=memory,
        engine=engine,
        precision=precision,
        cluster=cluster,
        fix=tuple(fix or ()),
        as_dicom=output_format == "dicom",
        identity=identity,
        regions=tuple(regions or ()),
        watermark=watermark,
    )
    finish(context, request.perform, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def validate(
    context: typer.Context,
    model: Model,
    data: Data,
    out: Out,
    protocols: Protocols = None,
    audit: Annotated[
        bool | None,
        typer.Option(
            "--audit/--no-audit",
            help="Also degrade sources, put lesions in and out; 20 times the work. "
            "[default: as the pipeline says]",
        ),
    ] = None,
    uncertainty: Annotated[
        bool | None,
        typer.Option(
            "--uncertainty/--no-uncertainty",
            help="Predict mirrored too; coverage of the intervals. [default: as the pipeline says]",
        ),
    ] = None,
    downstream: Annotated[
        bool | None,
        typer.Option(
            "--downstream/--no-downstream",
            help="Also train a segmenter on real scans; try it on synthetic ones. "
            "[default: as the pipeline says]",
        ),
    ] = None,
    companions: Companions = None,
    perceptual: Perceptual = None,
    memory: Memory = None,
    engine: EngineName = None,
    precision: Precision = None,
    checklist: Checklist = None,
    cluster: Cluster = None,
    even_though_seen: Annotated[
        bool,
        typer.Option(
            "--even-though-seen-in-training",
            help="Score people the model was trained on too; marks every page.",
        ),
    ] = False,
    output_format: Format = "nifti",
    identity: Identity = None,
    as_json: Json = False,
) -> None:
    """Score a model and its baselines on people it never saw."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.progress import tell_loading

        tell_loading(progress)
        from medtranslate.cli.summaries import show_cohort_validation, show_validation
        from medtranslate.errors import ConfigError
        from medtranslate.inference.settings import InferenceChoices, parse_memory
        from medtranslate.workflows.validate_cohort import validate_cohort
        from medtranslate.workflows.validate_progression import (
            follows_visits,
            validate_progression,
        )
        from medtranslate.workflows.validation_choices import ValidationChoices

        choices = ValidationChoices(
            protocols=protocols,
            audit=audit,
            uncertainty=uncertainty,
            downstream=downstream,
            companions=companions or (),
            perceptual=perceptual,
            checklist=checklist,
            even_though_seen=even_though_seen,
            dicom=_choose_identity(output_format, identity),
            inference=InferenceChoices(parse_memory(memory), engine, precision),
        )
        if follows_visits(model):
            if cluster is not None:
                raise ConfigError(
                    "--cluster: a progression model is validated on this machine; leave it out"
                )
            return show_validation(
                validate_progression(model, data, out, choices=choices, progress=progress)
            )
        validation = validate_cohort(
            model, data, out, choices=choices, cluster=cluster, progress=progress
        )
        return show_cohort_validation(validation)

    finish(context, job, as_json=as_json)


def _choose_identity(
    output_format: Literal["nifti", "dicom"], identity: Literal["pseudonym", "keep"] | None
) -> Literal["pseudonym", "keep"] | None:
    """Whose the DICOM output is; None if there is none."""
    from medtranslate.errors import ConfigError

    if output_format == "dicom":
        return identity or "pseudonym"
    if identity is not None:
        raise ConfigError("--identity is for DICOM; add --format dicom")
    return None


@app.command(rich_help_panel=PANEL)
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
    perceptual: Perceptual = None,
    checklist: Checklist = None,
    fix: Fix = None,
    as_json: Json = False,
) -> None:
    """Score synthetic scans against real ones, slice by slice."""

    def job(progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_evaluation
        from medtranslate.io.dicom.location import Fixes, with_fixes
        from medtranslate.metrics.protocol import Protocol
        from medtranslate.settings import validate_settings
        from medtranslate.workflows.evaluate import evaluate_paths

        values = {"scale": scale, "data_range": data_range, "axis": axis}
        protocol = validate_settings(Protocol, values, where="command line")
        fixes = Fixes.parse(fix or ())
        summary = evaluate_paths(
            with_fixes(reference, fixes),
            with_fixes(prediction, fixes),
            mask=mask,
            source=None if source is None else with_fixes(source, fixes),
            labels=labels,
            protocol=protocol,
            protocols=protocols or (),
            audit=audit,
            perceptual=perceptual,
            checklist=checklist,
            out=out,
        )
        return show_evaluation(summary, out)

    finish(context, job, as_json=as_json)


@app.command(rich_help_panel=PANEL)
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

    finish(context, job, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def listen(
    context: typer.Context,
    model: Annotated[
        Path, typer.Option("--model", metavar="MODEL", help="Run folder or its model/ folder.")
    ],
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen at; 0 for a free one.")
    ],
    send_to: Annotated[
        str,
        typer.Option(
            "--send-to", metavar="[TITLE@]HOST:PORT", help="Node that gets the synthetic series."
        ),
    ],
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; by default this machine alone.")
    ] = "127.0.0.1",
    identity: Identity = None,
    uncertainty: Uncertainty = False,
    spool_gb: Annotated[
        float, typer.Option("--spool-gb", min=0.001, help="Most kept on disk of what comes in.")
    ] = 4.0,
    quiet_seconds: Annotated[
        float,
        typer.Option("--quiet-seconds", min=0.1, help="A series is whole after so long a pause."),
    ] = 30.0,
    callers: Annotated[
        list[str] | None,
        typer.Option("--from-title", metavar="TITLE", help="Only who may send; may be repeated."),
    ] = None,
    require_title: Annotated[
        bool, typer.Option("--require-title", help="Refuse senders that call another title.")
    ] = False,
    tls_cert: Annotated[
        Path | None,
        typer.Option("--tls-cert", metavar="FILE", help="Certificate; both ways are TLS then."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key.")
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            "--tls-ca", metavar="FILE", help="Authority that must have signed the other nodes'."
        ),
    ] = None,
    send_plain: Annotated[
        bool, typer.Option("--send-plain", help="Send on without TLS all the same.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Be a DICOM node: receive series, translate them, send the synthetic ones on."""

    def job(progress: Progress) -> Outcome:
        import signal

        # No stage, whose bar would stand there for as long as the node listens.
        progress.tell("load torch and MONAI")
        from medtranslate.cli.summaries import show_listening
        from medtranslate.io.dicom.tls import choose_tls_files
        from medtranslate.workflows.listen import Route, listen

        signal.signal(signal.SIGTERM, signal.default_int_handler)
        route = Route(
            host=host,
            port=port,
            send_to=send_to,
            identity=identity or "pseudonym",
            spool_bytes=int(spool_gb * 1e9),
            quiet_seconds=quiet_seconds,
            callers=tuple(callers or ()),
            require_title=require_title,
            tls=choose_tls_files(tls_cert, tls_key, tls_ca),
            send_plain=send_plain,
        )
        result = listen(
            model, route, uncertainty=uncertainty, tell=lambda text: typer.echo(text, err=True)
        )
        return show_listening(result)

    finish(context, job, as_json=as_json)
