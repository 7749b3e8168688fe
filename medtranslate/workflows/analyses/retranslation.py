"""Send a changed source through the model the way every source goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from medtranslate.data.cases import Case
from medtranslate.data.scans import Selector
from medtranslate.errors import CheckpointError, DatasetError, GeometryError, VolumeReadError
from medtranslate.io import read_volume, scan_suffix, write_volume
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.volume import IntensityScale, Volume

if TYPE_CHECKING:
    # Scoring files must not wait for the deep-learning libraries that a translator needs.
    from medtranslate.workflows.prediction import Translator


REFUSED = (CheckpointError, DatasetError, GeometryError, VolumeReadError)
"""What a changed source may be refused with; anything else is no matter of the source."""


@dataclass(frozen=True, eq=False)
class Retranslation:
    """A model and its cases, to ask what it would make of other sources.

    Attributes:
        cases: By name; a changed source takes the place of the case's own, a given mask stays.
        predict: The model: a case to its synthetic scan on the source's own grid.
        modality: BIDS suffix of the sources; CT is in HU.
        scale: What the sidecars of the model's predictions record.
    """

    cases: Mapping[str, Case]
    predict: Callable[[Case], Volume]
    modality: str
    scale: IntensityScale

    def read_source(self, name: str) -> Volume:
        """The source of a case as stored."""
        return read_volume(self.cases[name].source, modality=self.modality)

    def translate(self, name: str, changed: Volume, yardstick: Yardstick) -> np.ndarray:
        """What the model makes of a changed source.

        The source is written to a folder that is deleted afterwards, and read and prepared from
        there.

        Args:
            name: Of the case whose source it was.
            changed: On the same grid.
            yardstick: Of this case.

        Returns:
            The prediction in scored units, slices first.

        Raises:
            MedTranslateError: If the changed source cannot be translated.
        """
        case = self.cases[name]
        stem = case.source.name.removesuffix(scan_suffix(case.source) or "")
        with TemporaryDirectory(prefix="medtranslate-") as folder:
            path = Path(folder) / f"{stem}.nii"
            write_volume(path, changed)
            prediction = self.predict(replace(case, source=path))
        return yardstick.bring(prediction.voxels, scale=self.scale)


def retranslate_with(translator: Translator, cases: Mapping[str, Case]) -> Retranslation:
    """Ask a loaded model.

    Args:
        translator: The model.
        cases: By name.
    """

    def predict(case: Case) -> Volume:
        return translator.predict(translator.prepare(case)).volume

    return Retranslation(
        cases=cases,
        predict=predict,
        modality=Selector.parse(translator.pipeline.source).suffix,
        scale=translator.model.scale,
    )
