"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

PipelineFile = Annotated[
    Path, typer.Argument(metavar="PIPELINE.yaml", help="File that describes the whole job.")
]
Data = Annotated[
    list[Path],
    typer.Option("--data", metavar="DATASET", help="BIDS folder or CSV table; may be repeated."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="key=value", help="Change one value of the pipeline file."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an earlier call stopped.")]
Run = Annotated[Path, typer.Option("--out", metavar="RUN", help="Run folder to write.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Run folder or its model/ folder.")]
Protocols = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="Score by this rule too, such as synthrad2025 or monai; may be repeated.",
    ),
]
Uncertainty = Annotated[
    bool,
    typer.Option(
        "--uncertainty", help="Predict mirrored too; standard deviations and calibrated intervals."
    ),
]
Companions = Annotated[
    list[Path] | None,
    typer.Option(
        "--with", metavar="MODEL", help="Further model for --uncertainty; may be repeated."
    ),
]
Perceptual = Annotated[
    Path | None,
    typer.Option(
        "--perceptual",
        metavar="WEIGHTS",
        help="Also the distance in features of a network whose weights you fetched (safetensors).",
    ),
]
Checklist = Annotated[
    Literal["claim"] | None,
    typer.Option("--checklist", help="End the report with a checklist, filled as far as known."),
]
Fix = Annotated[
    list[str] | None,
    typer.Option(
        "--fix",
        metavar="REPAIR",
        help="Repair DICOM: drop-duplicates, interpolate-missing=N or deskew; may be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
