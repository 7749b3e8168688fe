"""Read a series as a volume: the same questions and answers as for every other format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset

from medtranslate.errors import DicomError
from medtranslate.io.dicom.assembly import Assembly, assemble
from medtranslate.io.dicom.dicomdir import open_place
from medtranslate.io.dicom.faults import Fault, refusal
from medtranslate.io.dicom.headers import UnreadableHeaderError, read_dataset
from medtranslate.io.dicom.location import Fixes, SeriesLocation
from medtranslate.io.dicom.pixels import choose_type, read_slices
from medtranslate.io.dicom.repair import interpolate_missing, move_slice
from medtranslate.io.dicom.series import SeriesFiles, choose_series, find_series
from medtranslate.io.dicom.slices import Slice, slices_of
from medtranslate.io.scan import MAX_VOXELS, OpenedScan, ScanHeader, check_shape, check_size
from medtranslate.volume import CT_RANGE_HU, Volume


@dataclass(frozen=True)
class SliceSource:
    """Where a slice of the volume comes from.

    Attributes:
        dataset: Index of its header in ``datasets``.
        frame: Frame of that file, from 0; None if the file is one slice.
    """

    dataset: int
    frame: int | None


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """A series as a volume, with the headers it came from.

    Attributes:
        header: Geometry, warnings and repairs.
        volume: Array ``(1, i, j, k)``: column i, row j of slice k; RAS+ mm.
        modality: ``CT``, ``MR`` or ``PT``.
        datasets: Header of each file without pixel data, in the order of the slices.
        slices: Origin of each ``k``; None for one that was interpolated. After a gantry tilt was
            undone the grid is not that of the files, but slice ``k`` is still in the plane of its
            origin.
        frame_of_reference_uid: UID of the patient space; None if not told.
    """

    header: ScanHeader
    volume: Volume
    modality: str
    datasets: tuple[FileDataset, ...]
    slices: tuple[SliceSource | None, ...]
    frame_of_reference_uid: str | None


def open_dicom(path: Path, *, max_voxels: int) -> OpenedScan:
    """Open one series of a folder, zip or DICOMDIR, or a multi-frame file; reads headers alone.

    Raises:
        DicomError: If there is no such series, or it is not one volume and is not repaired.
        GeometryError: If its slices make no grid.
    """
    location = SeriesLocation.parse(path)
    series = choose_series(path, find_series(location.place), location.series)
    return open_series(location, series, max_voxels=max_voxels)


def open_series(
    location: SeriesLocation, series: SeriesFiles, *, max_voxels: int = MAX_VOXELS
) -> OpenedScan:
    """Open one series of those found at a place.

    Raises:
        DicomError: If it is not one volume and is not repaired.
        GeometryError: If its slices make no grid.
    """
    path = location.path
    assembly = assemble_series(path, location, series)
    header = _describe(path, series, assembly, max_voxels=max_voxels)
    return OpenedScan(header, None, lambda: _decode(location.place, assembly, header))


def read_series(
    path: Path | str, *, fixes: Fixes | None = None, max_voxels: int = MAX_VOXELS
) -> DicomSeries:
    """Read a series with the headers of its slices, for writing another one like it.

    Args:
        path: As :func:`open_dicom`.
        fixes: Repairs asked for beside those that the path names.
        max_voxels: Largest claim accepted.

    Raises:
        DicomError: As :func:`open_dicom`, and if a file is cut off or damaged.
        GeometryError: If its slices make no grid.
    """
    location = SeriesLocation.parse(Path(path))
    if fixes is not None:
        joined = location.fixes.joined_with(fixes)
        location = SeriesLocation(location.place, location.series, joined)
    series = choose_series(location.path, find_series(location.place), location.series)
    assembly = assemble_series(location.path, location, series)
    header = _describe(location.path, series, assembly, max_voxels=max_voxels)
    present = [one for one in assembly.slices if one is not None]
    keys = list(dict.fromkeys(one.key for one in present))
    modality = series.modality or ""
    is_ct = modality == "CT"
    voxels = np.ascontiguousarray(_decode(location.place, assembly, header))
    return DicomSeries(
        header=header,
        volume=Volume(
            voxels[np.newaxis],
            header.geometry,
            {"CT": "CT", "PT": "PET"}.get(modality),
            "HU" if is_ct else "arbitrary",
        ),
        modality=modality,
        datasets=_read_headers(location.place, keys),
        slices=tuple(
            None if one is None else SliceSource(keys.index(one.key), one.frame)
            for one in assembly.slices
        ),
        frame_of_reference_uid=present[0].frame_of_reference or None,
    )


def assemble_series(path: Path, location: SeriesLocation, series: SeriesFiles) -> Assembly:
    """The slices of a series in order; see :func:`assemble`.

    Raises:
        DicomError: If it is not one volume and is not repaired.
        GeometryError: If its slices make no grid.
    """
    slices: list[Slice] = []
    faults: list[Fault] = []
    for key, header in series.headers.items():
        found, wrong = slices_of(key, header)
        slices += found
        faults += wrong
    if faults:
        raise refusal(path, faults)
    _refuse_stray_file(path, location, slices)

    def is_copy(one: Slice, other: Slice) -> bool:
        return _same_values(location.place, one, other)

    return assemble(path, slices, fixes=location.fixes, is_copy=is_copy)


def _refuse_stray_file(path: Path, location: SeriesLocation, slices: list[Slice]) -> None:
    """One slice given as a file is hardly ever meant: the rest of its series lies beside it."""
    lone = len(slices) == 1 and slices[0].frame is None and location.place.is_file()
    if lone and slices[0].key == location.place.name:
        raise DicomError(
            f"{path}: is one slice of a series, expected a volume. Give the folder that holds the"
            " series"
        )


def _same_values(place: Path, one: Slice, other: Slice) -> bool:
    if (one.slope, one.intercept) != (other.slope, other.intercept):
        return False
    with open_place(place) as (store, _):
        first, second = (values for _, values in read_slices(place, store, [one, other]))
    return np.array_equal(first, second)


def _describe(
    path: Path, series: SeriesFiles, assembly: Assembly, *, max_voxels: int
) -> ScanHeader:
    present = [one for one in assembly.slices if one is not None]
    shape = check_shape(path, assembly.geometry.shape)
    check_size(path, shape, np.dtype(choose_type(present)).itemsize, max_voxels=max_voxels)
    units = present[0].units
    told = (f"values are in {units}",) if series.modality == "PT" and units.isalnum() else ()
    return ScanHeader(
        path=path,
        geometry=assembly.geometry,
        dtype=f"{'' if present[0].signed else 'u'}int{present[0].bits}",
        shape=shape,
        warnings=(*assembly.warnings, *told),
        modality=series.modality,
        repairs=assembly.repairs,
    )


def _decode(place: Path, assembly: Assembly, header: ScanHeader) -> np.ndarray:
    """Real values on the assembly's grid, shape ``(i, j, k)``."""
    number = {id(one): k for k, one in enumerate(assembly.slices) if one is not None}
    present = [one for one in assembly.slices if one is not None]
    columns, rows, count = header.geometry.shape
    stack = np.empty((count, columns, rows), dtype=choose_type(present))  # slices stay together
    sizes = present[0].size
    with open_place(place) as (store, _):
        for one, values in read_slices(place, store, present):
            stack[number[id(one)], : sizes[0], : sizes[1]] = values
    voxels: np.ndarray = np.moveaxis(stack, 0, 2)
    if assembly.shifts is not None:
        _move_slices(voxels, assembly.shifts, sizes, sorted(number.values()), header)
    interpolate_missing(voxels, present=sorted(number.values()))
    return voxels


def _move_slices(
    voxels: np.ndarray,
    shifts: np.ndarray,
    size: tuple[int, int],
    present: list[int],
    header: ScanHeader,
) -> None:
    """Put every slice where a grid at right angles has it, air or the lowest value around it."""
    columns, rows = size
    lowest = min(float(voxels[:columns, :rows, k].min()) for k in present)
    background = CT_RANGE_HU[0] if header.modality == "CT" else lowest
    i, j, _ = voxels.shape
    for k in present:
        values = voxels[:columns, :rows, k].copy()
        voxels[:, :, k] = move_slice(values, shifts[k], shape=(i, j), background=background)


def _read_headers(place: Path, keys: list[str]) -> tuple[FileDataset, ...]:
    headers = []
    with open_place(place) as (store, _):
        for key in keys:
            try:
                with store.open(key) as file:
                    header = read_dataset(file)
            except UnreadableHeaderError:
                header = None
            if header is None:
                raise DicomError(f"{place}: changed while it was read. Read it again")
            headers.append(header)
    return tuple(headers)
