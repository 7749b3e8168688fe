"""Each synthetic scan as a DICOM series with the map of its errors beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medtranslate.errors import MissingExtraError
from medtranslate.io import sidecar_path
from medtranslate.io.documents import read_document
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.sections import Section, Table
from medtranslate.volume import Unit, Volume
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.scored_case import ScoredCase

try:
    from medtranslate.io.dicom.identity import Identity
    from medtranslate.io.dicom.reading import read_series
    from medtranslate.workflows.derived_folder import Predicted, plan_folder, write_folder
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "pydicom", "dicom") from error

_READING = (
    "Beside each synthetic series lies the map of its errors, a DICOM Parametric Map: prediction "
    "minus real scan, as scored, inside the mask and 0 outside it. "
)


@dataclass(frozen=True)
class _Written:
    folder: str
    num_clipped: int
    lowest: float
    highest: float


class ErrorMaps(AbstractAnalysis):
    """Writes the synthetic series of each case with its errors, and lists them in the report."""

    name = "error_maps"
    gathered = ("_written",)
    kinds = (_Written,)
    is_kept = False

    def __init__(
        self,
        translator: Translator,
        *,
        sources: Mapping[str, Path],
        predictions: Mapping[str, Path],
        out: Path,
        identity: Identity,
    ) -> None:
        """Take what the cases were predicted from, and where the series go.

        Args:
            translator: What predicted.
            sources: DICOM series by case name.
            predictions: Synthetic scans, with their sidecars, by case name.
            out: Gets a folder a case.
            identity: Whether patient and study are named as in the source.
        """
        self._translator, self._identity, self._out = translator, identity, out
        self._sources, self._predictions = sources, predictions
        self._written: dict[str, _Written] = {}

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Write the series of one case.

        Raises:
            DatasetError: If something that is not ours would be overwritten.
            VolumeReadError: If the source cannot be read again.
            VolumeWriteError: If the series cannot be written.
        """
        source = read_series(self._sources[case.name])
        folder = plan_folder(source, self._translator.target_suffix, self._out)
        grid = source.volume.geometry
        volume = replace(next(iter(case.predictions.values()))[0], geometry=grid)
        unit: Unit = "HU" if yardstick.is_ct else "normalised"
        error = find_error(yardstick, next(iter(predictions.values())))
        predicted = Predicted(
            volume,
            read_document(sidecar_path(self._predictions[case.name])),
            sd=None if case.sd is None else replace(volume, array=case.sd[None]),
            error=Volume(error[None], grid, volume.modality, unit),
        )
        series = write_folder(folder, self._translator, source, predicted, identity=self._identity)
        self._written[case.name] = _Written(
            folder.name, series.num_clipped, float(error.min()), float(error.max())
        )

    def finish(self, board: Scoreboard) -> Findings:
        """A table of the folders and of the largest errors."""
        unit = "HU" if board.is_ct else "scored intensity"
        rows = tuple(
            (case, one.folder, f"{one.lowest:.4g}", f"{one.highest:.4g}", f"{one.num_clipped:,}")
            for case, one in self._written.items()
        )
        columns = ("Case", f"Folder in {self._out.name}/", f"Lowest error ({unit})",
                   f"Highest ({unit})", "Clipped voxels")  # fmt: skip
        lead = (
            f"{_READING}Protocol {board.protocol.name}, fingerprint {board.protocol.fingerprint}."
        )
        section = Section("Error maps as DICOM", lead, (Table(columns, rows),))
        folders = {case: f"{self._out.name}/{one.folder}" for case, one in self._written.items()}
        return Findings(section, summary={"unit": unit, "folders": folders})


def find_error(yardstick: Yardstick, prediction: np.ndarray) -> np.ndarray:
    """Prediction minus reference in scored units, 0 outside the mask.

    Args:
        yardstick: The reference.
        prediction: What :meth:`Yardstick.bring` returned.

    Returns:
        Float32, shape ``(i, j, k)`` in the order of the file.
    """
    difference = np.where(yardstick.mask, prediction - yardstick.reference, 0.0)
    return np.ascontiguousarray(np.moveaxis(difference, 0, yardstick.voxel_axis), np.float32)
