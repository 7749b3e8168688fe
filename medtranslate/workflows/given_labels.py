"""Given segmentations of the targets, numbered alike for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medtranslate.data.cases import Case
from medtranslate.errors import DatasetError
from medtranslate.io import read_header
from medtranslate.preprocess.preparation import Prepared
from medtranslate.preprocess.segmentation import labels_on_grid
from medtranslate.preprocess.settings import PreprocessSettings
from medtranslate.volume import Volume
from medtranslate.workflows.labels import LabelRegions, read_labels


@dataclass(frozen=True)
class GivenLabels:
    """A segmentation that everybody of a group has.

    Attributes:
        key: Its name among the labels of a case, such as ``dseg`` or ``dseg+desc-manual``.
        names: Of the labels; they are numbered from 1 in this order.
    """

    key: str
    names: tuple[str, ...]

    def covers(self, case: Case) -> bool:
        """Whether a case has this segmentation on its target's grid."""
        return read_on_target(case, self.key) is not None

    def read(self, case: Case, prepared: Prepared, settings: PreprocessSettings) -> np.ndarray:
        """The labels of a case on the model grid.

        Args:
            case: One that is covered.
            prepared: The case on the model grid.
            settings: How it was prepared.

        Returns:
            Shape ``(i, j, k)``, int16: 0, labels from 1 in the order of ``names``. Labels of other
            names are 0.

        Raises:
            DatasetError: If the case is not covered.
        """
        regions = read_on_target(case, self.key)
        if regions is None or case.target is None:
            raise DatasetError(f"{case.name}: has no {self.key} on the grid of its target scan")
        geometry = read_header(case.target).geometry
        voxels = np.zeros(geometry.shape, np.int16)
        for number, name in enumerate(self.names, start=1):
            if name in regions:
                voxels[regions[name]] = number
        return labels_on_grid(
            settings,
            Volume(voxels[None], geometry, unit="label"),
            name=case.name,
            source=case.source,
            target=case.target,
            transform=case.transform,
            grid=prepared.source,
        )


def find_given_labels(cases: Sequence[Case]) -> GivenLabels | None:
    """A segmentation that every case has on its target's grid; the first by name if several.

    Args:
        cases: At least one.
    """
    for key in sorted(set.intersection(*(set(case.labels) for case in cases))):
        if key.partition("+")[0] != "dseg":
            continue
        found = [read_on_target(case, key) for case in cases]
        names = dict.fromkeys(name for regions in found if regions is not None for name in regions)
        if names and all(regions is not None for regions in found):
            return GivenLabels(key, tuple(names))
    return None


def read_on_target(case: Case, key: str) -> LabelRegions | None:
    """The regions of a segmentation; None if it is absent or lies on another grid."""
    if case.target is None or key not in case.labels:
        return None
    geometry = read_header(case.target).geometry
    labels = read_labels({key: case.labels[key]}, like=geometry)
    return None if labels.left_out else labels.regions
