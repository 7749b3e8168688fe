"""Make recorded synthetic scans again and compare them voxel by voxel."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medtranslate.data.cases import Case
from medtranslate.errors import ConfigError, DatasetError, MedTranslateError
from medtranslate.inference.settings import InferenceSettings
from medtranslate.io import sidecar_path
from medtranslate.io.documents import read_document
from medtranslate.io.writing import VOXELS_KEY
from medtranslate.manifest.files import hash_scan
from medtranslate.settings import validate_settings
from medtranslate.watermark import WatermarkKey, recorded_identity
from medtranslate.workflows.checks import Check, compare_hashes
from medtranslate.workflows.ensemble import add_uncertainty
from medtranslate.workflows.found_inputs import need_input
from medtranslate.workflows.prediction import Translator, load_translator
from medtranslate.workflows.progress import Progress
from medtranslate.workflows.translated_case import translate_case

_WHAT = "replay"

_Sidecar = Mapping[str, Any]  # plain data from JSON


def replay_scans(
    scans: Sequence[Path],
    *,
    models: Sequence[Path],
    inputs: Mapping[str, Path],
    watermark: WatermarkKey | None = None,
    progress: Progress,
) -> Iterator[Check]:
    """Translate again what each synthetic scan was made from.

    On one kind of processor, with the versions that its sidecar names, the voxels are the same to
    the bit.

    Args:
        scans: Synthetic scans with their sidecars; volumes of standard deviations come with the
            prediction they belong to and are passed over.
        models: Run or model folders, among them those that the sidecars name by hash.
        inputs: Source scans and masks by fingerprint.
        watermark: For the scans that carry one.
        progress: Told how far things are.

    Raises:
        CheckpointError: If a model cannot be used.
    """
    known = {one.model.sha256: one for one in map(load_translator, models)}
    progress.stage(_WHAT, len(scans))
    for number, path in enumerate(scans):
        progress.update(number, path.name)
        try:
            sidecar = read_document(sidecar_path(path))
            if "StandardDeviationOf" not in sidecar:
                yield _replay(path, sidecar, known, inputs, watermark)
        except (OSError, ValueError, KeyError, TypeError, MedTranslateError) as error:
            yield Check(path.name, _WHAT, False, f"cannot be made again: {error}")
    progress.update(len(scans))


def _replay(
    path: Path,
    sidecar: _Sidecar,
    known: Mapping[str, Translator],
    inputs: Mapping[str, Path],
    watermark: WatermarkKey | None,
) -> Check:
    translator = _choose_translator(sidecar, known)
    translator = replace(translator, watermark=_choose_watermark(sidecar, watermark))
    mask = sidecar.get("MaskSha256")
    case = Case(
        name="replayed",
        dataset="",
        subject="replayed",
        session=None,
        source=need_input(inputs, sidecar["SourceSha256"], what="source"),
        mask=None if mask is None else need_input(inputs, mask, what="mask"),
    )
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "again.nii.gz"
        translate_case(translator, case, again)
        found = hash_scan(again) or "nothing readable"
    return compare_hashes(path.name, _WHAT, sidecar[VOXELS_KEY], found)


def _choose_translator(sidecar: _Sidecar, known: Mapping[str, Translator]) -> Translator:
    """The recorded model, with the recorded companions if the prediction is a mean."""
    wanted = [sidecar["ModelSha256"], *(view["ModelSha256"] for view in sidecar.get("MeanOf", ()))]
    absent = sorted({sha for sha in wanted if sha not in known})
    if absent:
        raise DatasetError(f"model {absent[0][:12]} is not among those that --model gives")
    first, *others = (
        _compute_as(known[sha], sidecar["Inference"]) for sha in dict.fromkeys(wanted)
    )
    return first if "MeanOf" not in sidecar else add_uncertainty(first, others)


def _choose_watermark(sidecar: _Sidecar, given: WatermarkKey | None) -> WatermarkKey | None:
    """The key that marked the recorded scan; None if it carries no watermark."""
    wanted = recorded_identity(sidecar)
    if wanted is None:
        return None
    if given is None or given.identity != wanted:
        raise ConfigError(f"it carries the watermark of key {wanted}; give it by --watermark-key")
    return given


def _compute_as(translator: Translator, inference: _Sidecar) -> Translator:
    """The same model, computing by the engine, in the precision and windows that were recorded."""
    settings = translator.pipeline.inference.model_dump(mode="json") | {
        "window": inference["Window"],
        "engine": inference["Engine"],
        "precision": inference["Precision"],
    }
    chosen = validate_settings(InferenceSettings, settings, where="Inference")
    pipeline = translator.pipeline.model_copy(update={"inference": chosen})
    return replace(translator, pipeline=pipeline)
