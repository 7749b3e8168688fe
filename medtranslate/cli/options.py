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
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Measure this machine, say what would be trained, stop.")
]
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
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="Memory for prediction, such as 4G."),
]
EngineName = Annotated[
    Literal["auto", "torch", "openvino"] | None,
    typer.Option("--engine", help="What computes predictions."),
]
Precision = Annotated[
    Literal["auto", "bf16", "fp32"] | None,
    typer.Option("--precision", help="Number format of predictions."),
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
Format = Annotated[
    Literal["nifti", "dicom"],
    typer.Option("--format", help="What to write; dicom derives a series from a DICOM source."),
]
Identity = Annotated[
    Literal["pseudonym", "keep"] | None,
    typer.Option(
        "--identity", help="Patient and study in DICOM output: pseudonym, or keep for the clinic."
    ),
]
Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="NAME=FILE",
        help="Mask to write as DICOM segmentation and contours; may be repeated.",
    ),
]
Watermark = Annotated[
    bool,
    typer.Option(
        "--watermark", help="Put a pattern of your key into the voxels, for 'verify' to find again."
    ),
]
WatermarkKeyFile = Annotated[
    Path | None,
    typer.Option("--watermark-key", metavar="FILE", help="Look for the watermark of this key."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="WHERE",
        help="Dask workers that do it: tcp://HOST:PORT, local:N, slurm:N or pbs:N; else here.",
    ),
]
