"""Where the slices of a volume and the images of a source series lie, and which belong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from medtranslate.errors import DicomError
from medtranslate.geometry import Geometry

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""The patient's left and back are positive in DICOM, right and front in this package."""

_SAME_PLACE_MM = 1e-2
_SAME_DIRECTION = 1e-4


@dataclass(frozen=True, eq=False)
class Plane:
    """Where one slice lies, in the patient's LPS axes.

    Attributes:
        position: Shape ``(3,)``; centre of the first voxel, millimetres.
        along_row: Shape ``(3,)``; unit vector in which the column index grows.
        along_column: Shape ``(3,)``; unit vector in which the row index grows.
    """

    position: np.ndarray
    along_row: np.ndarray
    along_column: np.ndarray

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the slice."""
        return np.cross(self.along_row, self.along_column)

    @property
    def height(self) -> float:
        """Distance of the slice from the origin along its normal, in millimetres."""
        return float(self.normal @ self.position)

    def coincides(self, other: Plane) -> bool:
        """Whether both have their first voxel and their axes in the same place."""
        turned = max(
            np.abs(self.along_row - other.along_row).max(),
            np.abs(self.along_column - other.along_column).max(),
        )
        apart = np.abs(self.position - other.position).max()
        return bool(apart <= _SAME_PLACE_MM and turned <= _SAME_DIRECTION)


@dataclass(frozen=True, eq=False)
class SourceImage:
    """One image of the source series: an instance, or a frame of one.

    Attributes:
        sop_class_uid: Kind of the instance.
        sop_instance_uid: The instance.
        frame: Number of the frame from 1, None if the instance is one image.
        rows: Voxels along a column.
        columns: Voxels along a row.
        plane: Where it lies.
    """

    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None
    rows: int
    columns: int
    plane: Plane


def slice_planes(geometry: Geometry) -> list[Plane]:
    """Where each slice of a volume lies whose axes are column, row and slice index."""
    affine = LPS_FROM_RAS @ geometry.affine
    step = affine[:3, :3] / np.array(geometry.spacing)
    first = affine[:3, 3]
    return [
        Plane(first + number * affine[:3, 2], step[:, 0], step[:, 1])
        for number in range(geometry.shape[2])
    ]


def source_images(datasets: Sequence[Dataset]) -> list[SourceImage]:
    """The images of a source series, frame by frame where an instance has several.

    Raises:
        DicomError: If an image does not say what and where it is.
    """
    try:
        return [image for dataset in datasets for image in _images(dataset)]
    except (AttributeError, TypeError, ValueError, IndexError, KeyError):
        raise DicomError(
            "the source series lacks a position, an orientation or a UID that the derived series"
            " must refer to; export it again from where it comes"
        ) from None


def matching_images(plane: Plane, images: Sequence[SourceImage]) -> tuple[list[SourceImage], bool]:
    """The source images that a slice was made from above all, and whether they lie in its place.

    Returns:
        The image in the very place of the slice and True, else the one or two nearest across the
        slice and False.
    """
    same = [image for image in images if image.plane.coincides(plane)]
    if same:
        return same[:1], True
    distances = np.array([plane.normal @ (one.plane.position - plane.position) for one in images])
    below = [n for n in range(len(images)) if distances[n] <= 0]
    above = [n for n in range(len(images)) if distances[n] > 0]
    nearest = ([max(below, key=distances.__getitem__)] if below else []) + (
        [min(above, key=distances.__getitem__)] if above else []
    )
    return [images[number] for number in nearest], False


def _images(dataset: Dataset) -> Iterator[SourceImage]:
    kind, uid = UID(str(dataset.SOPClassUID)), UID(str(dataset.SOPInstanceUID))
    if not (kind.is_valid and uid.is_valid):
        raise ValueError("a UID is not one")
    size = int(dataset.Rows), int(dataset.Columns)
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        yield SourceImage(kind, uid, None, *size, _plane(dataset, dataset))
        return
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
        place = frame if "PlanePositionSequence" in frame else shared
        turn = frame if "PlaneOrientationSequence" in frame else shared
        plane = _plane(place.PlanePositionSequence[0], turn.PlaneOrientationSequence[0])
        yield SourceImage(kind, uid, number, *size, plane)


def _plane(place: Dataset, turn: Dataset) -> Plane:
    position = np.array(place.ImagePositionPatient, dtype=np.float64)
    row, column = np.array(turn.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    return Plane(position, row, column)
