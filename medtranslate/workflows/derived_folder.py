"""A folder of DICOM: one synthetic series and what belongs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from medtranslate import __version__
from medtranslate.errors import DatasetError, MissingExtraError
from medtranslate.io.atomic import atomic_folder, write_json
from medtranslate.volume import Volume
from medtranslate.workflows.ensemble import describe_views
from medtranslate.workflows.outputs import SERIES_DESCRIPTION, SERIES_FOLDER, is_ours
from medtranslate.workflows.prediction import Translator

try:
    from medtranslate.io.dicom.derive import DerivedSeries, derive_series
    from medtranslate.io.dicom.identity import Identity, Naming, pseudonym
    from medtranslate.io.dicom.marks import Synthesis
    from medtranslate.io.dicom.parametric_map import make_deviation_map, make_error_map
    from medtranslate.io.dicom.reading import DicomSeries
    from medtranslate.io.dicom.segmentation import make_segmentation
    from medtranslate.io.dicom.structure_set import make_structure_set
    from medtranslate.io.dicom.writing import write_datasets
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "pydicom", "dicom") from error

DEVIATION = "deviation"
"""Folder of the standard deviations, in the folder of a synthetic series."""

ERROR = "error"
"""Folder of the errors."""

_SEGMENTATION, _STRUCTURES = "regions", "structures"


@dataclass(frozen=True, eq=False)
class Predicted:
    """A synthetic scan and what is known of it; all on the grid of its source.

    Attributes:
        volume: The synthetic scan.
        sidecar: Plain data that describes it.
        sd: Its standard deviations; None if there are none.
        error: Prediction minus real scan, 0 where not scored; None if it was not scored.
        regions: Boolean, shape ``(i, j, k)``, by name.
    """

    volume: Volume
    sidecar: Mapping[str, Any]  # plain JSON data
    sd: Volume | None = None
    error: Volume | None = None
    regions: Mapping[str, np.ndarray] = field(default_factory=dict)


def plan_folder(source: DicomSeries, target: str, out: Path) -> Path:
    """Where the synthetic series of a source goes.

    The folder is named by whose it is under a pseudonym, from which series, and what it shows.

    Raises:
        DatasetError: If something that is not ours lies there.
    """
    header = source.datasets[0]
    series = Naming("pseudonym").uid(str(header.SeriesInstanceUID))
    folder = out / f"{pseudonym(str(header.StudyInstanceUID))}_{series[-8:]}_{target}"
    if folder.exists() and not is_ours(folder / SERIES_DESCRIPTION):
        raise DatasetError(
            f"--out {folder}: exists and is not a synthetic series of ours; it is left alone."
            " Choose another folder"
        )
    return folder


def write_folder(
    folder: Path,
    translator: Translator,
    source: DicomSeries,
    predicted: Predicted,
    *,
    identity: Identity,
) -> DerivedSeries:
    """Write a synthetic series and what belongs to it; the folder appears when all of it is there.

    Args:
        folder: From :func:`plan_folder`.
        translator: What predicted.
        source: What it was predicted from.
        predicted: What is written.
        identity: Whether patient and study are named as in the source.

    Raises:
        DicomError: If the source lacks what must be referred to.
        VolumeWriteError: If the target is neither MR nor CT, or the result cannot be written.
    """
    synthesis = _describe_synthesis(translator, predicted)
    series = derive_series(predicted.volume, source.datasets, synthesis, identity=identity)
    with atomic_folder(folder) as temporary:
        write_datasets(temporary / SERIES_FOLDER, series.datasets)
        if predicted.sd is not None:
            deviation = make_deviation_map(predicted.sd, series, synthesis)
            write_datasets(temporary / DEVIATION, [deviation])
        if predicted.error is not None:
            error = make_error_map(predicted.error, series, synthesis)
            write_datasets(temporary / ERROR, [error])
        if predicted.regions:
            _write_regions(temporary, predicted.regions, series, synthesis)
        sidecar = _describe(translator, predicted, series, label=folder.name.rsplit("_", 1)[0])
        write_json(temporary / SERIES_DESCRIPTION, sidecar)
    return series


def _write_regions(
    folder: Path, masks: Mapping[str, np.ndarray], series: DerivedSeries, synthesis: Synthesis
) -> None:
    write_datasets(folder / _SEGMENTATION, [make_segmentation(masks, series, synthesis)])
    write_datasets(folder / _STRUCTURES, [make_structure_set(masks, series, synthesis)])


def _describe_synthesis(translator: Translator, predicted: Predicted) -> Synthesis:
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
    translator: Translator, predicted: Predicted, series: DerivedSeries, *, label: str
) -> dict[str, Any]:
    """The sidecar; it names the source by its pseudonym, never by folder, patient or study."""
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
        **({"MeanOf": views, "StandardDeviation": DEVIATION} if views else {}),
        **({} if predicted.error is None else _describe_error(predicted.error)),
    }


def _describe_error(error: Volume) -> dict[str, Any]:
    unit = "HU" if error.unit == "HU" else "scored intensity, see protocol.json"
    return {
        "Error": ERROR,
        "ErrorMeaning": "prediction minus real scan inside the mask, 0 outside it",
        "ErrorUnit": unit,
    }
