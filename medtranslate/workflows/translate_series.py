"""Translate DICOM series into DICOM series, with what belongs beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medtranslate import __version__
from medtranslate.data.cases import Case
from medtranslate.errors import DatasetError, MedTranslateError, MissingExtraError
from medtranslate.inference.settings import InferenceChoices
from medtranslate.io.atomic import atomic_folder, write_json
from medtranslate.io.dicom.location import holds_dicom
from medtranslate.manifest import load_signing_key, take_snapshot
from medtranslate.workflows.ensemble import describe_views, load_chosen_translator
from medtranslate.workflows.outputs import SERIES_DESCRIPTION, SERIES_FOLDER, is_ours
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.regions import read_regions
from medtranslate.workflows.sources import collect_cases
from medtranslate.workflows.translate import (
    PredictedCase,
    TranslatedScan,
    Translation,
    predict_case,
    sign_translation,
)
from medtranslate.workflows.watermarking import with_watermark

try:
    from medtranslate.io.dicom.derive import DerivedSeries, derive_series
    from medtranslate.io.dicom.identity import Naming, pseudonym
    from medtranslate.io.dicom.marks import Synthesis
    from medtranslate.io.dicom.parametric_map import make_deviation_map
    from medtranslate.io.dicom.reading import DicomSeries, read_series
    from medtranslate.io.dicom.segmentation import make_segmentation
    from medtranslate.io.dicom.structure_set import make_structure_set
    from medtranslate.io.dicom.writing import write_datasets
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "pydicom", "dicom") from error

_DEVIATION, _SEGMENTATION, _STRUCTURES = "deviation", "regions", "structures"


def translate_to_dicom(
    model: Path,
    sources: Sequence[Path],
    out: Path,
    *,
    identity: Literal["pseudonym", "keep"] = "pseudonym",
    regions: Mapping[str, Path] | None = None,
    mask: Path | None = None,
    uncertainty: bool = False,
    companions: Sequence[Path] = (),
    inference: InferenceChoices | None = None,
    watermark_key: Path | None = None,
    progress: Progress | None = None,
) -> Translation:
    """Make the synthetic DICOM series of each source series.

    One source that fails does not stop the others; a single one raises.

    Args:
        model: Run folder or its ``model/``.
        sources: DICOM series, or datasets of them.
        out: A folder; each series gets one in it, named by pseudonyms.
        identity: Whether patient and study are named as in the source.
        regions: Masks of the one source by name, written as a segmentation and as contours.
        mask: As :func:`medtranslate.workflows.translate.translate`, like all that follows.
        uncertainty: Also write the standard deviations, as a Parametric Map.
        companions: Further models.
        inference: What is asked for in place of the pipeline's inference settings.
        watermark_key: Key file of the watermark; none is put in if None.
        progress: Told how far things are.

    Raises:
        CheckpointError: If a model cannot be used.
        ConfigError: If there are companions without ``uncertainty``, or a key cannot be used.
        DatasetError: If a source is not DICOM, or regions are given for several.
    """
    progress = progress or NoProgress()
    translator = load_chosen_translator(
        model, uncertainty=uncertainty, companions=companions, inference=inference
    )
    translator = with_watermark(translator, watermark_key)
    cases = collect_cases(translator, sources, mask=mask)
    _check_sources(cases, regions or {})
    key, before = load_signing_key(), take_snapshot(out)
    progress.stage("translate", len(cases))
    scans = []
    for number, case in enumerate(cases):
        progress.update(number, case.name)
        try:
            scan = translate_series(translator, case, out, identity=identity, regions=regions or {})
        except MedTranslateError as error:
            if len(cases) == 1:
                raise
            scan = TranslatedScan(case.name, case.source, None, error=str(error))
        scans.append(scan)
    progress.update(len(cases))
    translation = Translation(translator.model.sha256, tuple(scans))
    sign_translation(translator, cases, translation, out, since=before, key=key)
    return translation


def translate_series(
    translator: Translator,
    case: Case,
    out: Path,
    *,
    identity: Literal["pseudonym", "keep"],
    regions: Mapping[str, Path],
) -> TranslatedScan:
    """Make one synthetic series; its folder appears in ``out`` when all of it is there.

    Raises:
        CheckpointError: If the model cannot be used for this series.
        DatasetError: If something that is not ours would be overwritten.
        GeometryError: If a region lies on another grid.
        VolumeReadError: If the source or a region cannot be used.
        VolumeWriteError: If the result cannot be written.
    """
    source = read_series(case.source)
    folder = out / _name(source, translator.target_suffix)
    if folder.exists() and not is_ours(folder / SERIES_DESCRIPTION):
        raise DatasetError(
            f"--out {folder}: exists and is not a synthetic series of ours; it is left alone."
            " Choose another folder"
        )
    masks = read_regions(regions, source.volume.geometry)
    predicted = predict_case(translator, case, translator.prepare(case))
    prediction = predicted.prediction
    synthesis = _describe_synthesis(translator, predicted)
    series = derive_series(prediction.volume, source.datasets, synthesis, identity=identity)
    sidecar = _describe(translator, predicted, series, name=folder.name)
    with atomic_folder(folder) as temporary:
        write_datasets(temporary / SERIES_FOLDER, series.datasets)
        if prediction.sd is not None:
            deviation = make_deviation_map(prediction.sd, series, synthesis)
            write_datasets(temporary / _DEVIATION, [deviation])
        if masks:
            _write_regions(temporary, masks, series, synthesis)
        write_json(temporary / SERIES_DESCRIPTION, sidecar)
    return TranslatedScan(
        case.name,
        case.source,
        folder,
        num_clipped=prediction.num_clipped + series.num_clipped,
        warnings=predicted.warnings,
        deviation=folder / _DEVIATION if prediction.sd is not None else None,
    )


def _write_regions(
    folder: Path, masks: Mapping[str, np.ndarray], series: DerivedSeries, synthesis: Synthesis
) -> None:
    write_datasets(folder / _SEGMENTATION, [make_segmentation(masks, series, synthesis)])
    write_datasets(folder / _STRUCTURES, [make_structure_set(masks, series, synthesis)])


def _check_sources(cases: Sequence[Case], regions: Mapping[str, Path]) -> None:
    for case in cases:
        if not holds_dicom(case.source):
            raise DatasetError(
                f"{case.source}: is not DICOM; a DICOM series is derived from a DICOM series. Leave"
                " --format dicom out to write NIfTI"
            )
    if regions and len(cases) != 1:
        raise DatasetError(
            f"--region fits one source, but there are {len(cases)}; translate them in calls of"
            " their own"
        )


def _name(source: DicomSeries, target: str) -> str:
    """Name of the folder: whose it is under a pseudonym, from which series, what it shows."""
    header = source.datasets[0]
    series = Naming("pseudonym").uid(str(header.SeriesInstanceUID))
    return f"{pseudonym(str(header.StudyInstanceUID))}_{series[-8:]}_{target}"


def _describe_synthesis(translator: Translator, predicted: PredictedCase) -> Synthesis:
    return Synthesis(
        target=translator.pipeline.target,
        source=translator.pipeline.source,
        model=translator.pipeline.name,
        model_sha256=translator.model.sha256,
        software_version=__version__,
        created=datetime.now(UTC),
        recognisable=not predicted.sidecar["SkullStripped"],
    )


def _describe(
    translator: Translator, predicted: PredictedCase, series: DerivedSeries, *, name: str
) -> dict[str, Any]:
    """The sidecar; it names the source by its pseudonym, never by folder, patient or study."""
    label = name.rsplit("_", 1)[0]
    first = series.datasets[0]
    dicom = {
        "SeriesInstanceUID": series.series_uid,
        "Identity": series.identity,
        "OnSourceGrid": series.on_source_grid,
        "RescaleSlope": float(first.RescaleSlope),
        "RescaleIntercept": float(first.RescaleIntercept),
        "ClippedVoxels": series.num_clipped,
    }
    views = describe_views(translator)
    return {
        **predicted.sidecar,
        "Sources": [label],
        "SpatialReference": label,
        "Dicom": dicom,
        **({"MeanOf": views, "StandardDeviation": _DEVIATION} if views else {}),
    }
