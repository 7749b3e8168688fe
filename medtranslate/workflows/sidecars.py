"""What the sidecar of a synthetic scan says: what it is, of what, by which model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medtranslate import __version__
from medtranslate.data.cases import Case
from medtranslate.data.familiarity import Departure
from medtranslate.data.pseudonyms import name_source
from medtranslate.io import parse_bids_name, read_header, sidecar_path
from medtranslate.io.dicom.location import holds_dicom
from medtranslate.io.documents import read_document
from medtranslate.preprocess.preparation import Prepared
from medtranslate.provenance import git_commit, hash_json, software_versions
from medtranslate.workflows.marking import NOTE
from medtranslate.workflows.outputs import PROJECT
from medtranslate.workflows.prediction import Prediction, Translator


def describe_departures(departures: Sequence[Departure]) -> dict[str, Any]:
    """Plain data on how a source differs from the training scans."""
    return {
        "Warnings": [one.warning for one in departures if one.outside],
        "Properties": {one.name: one.to_json() for one in departures},
    }


def describe_prediction(
    translator: Translator, case: Case, prepared: Prepared, prediction: Prediction
) -> dict[str, Any]:
    """Plain data of a synthetic scan's sidecar."""
    pipeline, model = translator.pipeline, translator.model
    is_ct = model.scale.unit == "HU"
    return {
        "Description": f"{pipeline.target} predicted from {pipeline.source}",
        "Note": NOTE,
        "Synthetic": True,
        "SkullStripped": _is_skull_stripped(translator, case),
        "Sources": [name_source(case)],
        "SpatialReference": name_source(case),
        "Units": "HU" if is_ct else "arbitrary",
        "IntensityScale": model.scale.to_json(),
        "Background": model.scale.offset,
        **({"ClippedVoxels": prediction.num_clipped} if is_ct else {}),
        "ModelSha256": model.sha256,
        **describe_repairs(case.source),
        "SourceSha256": prepared.inputs["source"],
        **_mask_hash(prepared),
        "Pipeline": pipeline.name,
        "PipelineSha256": hash_json(pipeline.model_dump(mode="json")),
        "Inference": {
            **prediction.plan.to_json(),
            **({"WindowsMatter": True} if translator.windows_matter(prediction.plan) else {}),
            **prediction.engine.to_json(),
            "Device": translator.processor.device.type,
        },
        "GeneratedBy": [{"Name": PROJECT, "Version": __version__, "Commit": git_commit()}],
        "Versions": software_versions(),
    }


def describe_repairs(source: Path) -> dict[str, list[str]]:
    """What was repaired in a DICOM source on request, for a sidecar; empty if nothing was."""
    repairs = read_header(source).repairs if holds_dicom(source) else ()
    return {"SourceRepairs": list(repairs)} if repairs else {}


def _mask_hash(prepared: Prepared) -> dict[str, str]:
    """The fingerprint of a mask that was given; nothing if it was computed."""
    found = prepared.inputs.get("mask")
    return {} if found is None else {"MaskSha256": found}


def _is_skull_stripped(translator: Translator, case: Case) -> bool:
    """What the source's sidecar says, else its name, else how the pipeline finds the head."""
    try:
        told = read_document(sidecar_path(case.source))
        if isinstance(told.get("SkullStripped"), bool):
            return bool(told["SkullStripped"])
    except (OSError, ValueError, AttributeError):
        pass
    parsed = parse_bids_name(case.source)
    if parsed is not None and parsed.get("desc") == "brain":
        return True
    masking = translator.pipeline.preprocess.mask
    return masking == "nonzero" or (
        masking == "given" and "brain" in (translator.pipeline.mask or "")
    )
