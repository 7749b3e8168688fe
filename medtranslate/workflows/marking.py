"""What every synthetic scan says of itself, whatever becomes of the files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medtranslate import __version__
from medtranslate.data.cases import Case
from medtranslate.io.content import hash_content
from medtranslate.provenance import describe_run
from medtranslate.workflows.outputs import PROJECT

NOTE = "SYNTHETIC - not acquired - research use only"

DESCRIPTION = f"SYNTHETIC medtranslate {__version__} - not acquired - research use only"
"""Text for NIfTI's ``descrip``, which survives where header extensions are lost."""


def describe_mark(*, model_sha256: str, pipeline: str) -> dict[str, Any]:
    """Plain data for the header extension of a synthetic NIfTI file.

    Args:
        model_sha256: Identifies the model.
        pipeline: Name of the pipeline it was trained by.
    """
    return {
        "Synthetic": True,
        "Note": NOTE,
        "GeneratedBy": PROJECT,
        "Version": __version__,
        "ModelSha256": model_sha256,
        "Pipeline": pipeline,
    }


def describe_made(
    command: str, *, model_sha256: str, pipeline: str, cases: Sequence[Case]
) -> dict[str, Any]:
    """Plain data for the manifest: what ran, when, by which model, from which scans.

    Scans are named by their case and told by the hash of their content; where they lay is left
    out, as folders may be called after people.

    Args:
        command: What ran, without paths.
        model_sha256: Identifies the model.
        pipeline: Name of its pipeline.
        cases: What went in.
    """
    return describe_run(
        command,
        model_sha256=model_sha256,
        pipeline=pipeline,
        inputs={case.name: _hash_inputs(case) for case in cases},
    )


def _hash_inputs(case: Case) -> dict[str, str]:
    roles = {"source": case.source, "target": case.target, "mask": case.mask}
    return {role: hash_content(path) for role, path in roles.items() if path is not None}
