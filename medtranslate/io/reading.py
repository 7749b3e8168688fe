"""Read a scan: one entrance for every format, with the same questions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from medtranslate.errors import DicomError, GeometryError, MissingExtraError, VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.io.dicom.location import holds_dicom
from medtranslate.io.mgh import open_mgh
from medtranslate.io.nifti import open_nifti
from medtranslate.io.scan import MAX_VOXELS, OpenedScan, ScanHeader
from medtranslate.io.stream import check_file, describe_content, peek
from medtranslate.io.suffixes import SCAN_SUFFIXES, scan_suffix
from medtranslate.volume import Unit, Volume

_EXACT_IN_FLOAT32 = 2**24
_MODALITIES_IN_HU = ("CT", "CBCT")
_CONTRASTS = {"CT": ("CT", "CBCT"), "PT": ("PET",)}
"""What a scan may be called whose file says CT or PT; MR is called everything else."""


class Opener(Protocol):
    """Reads a header and says how to decode the voxels."""

    def __call__(self, path: Path, *, max_voxels: int) -> OpenedScan:
        """Open ``path``, refusing a claim of more than ``max_voxels``."""
        ...


def _open_itk(path: Path, *, max_voxels: int) -> OpenedScan:
    """NRRD and MetaImage; SimpleITK takes a quarter of a second to import, so it waits for one."""
    from medtranslate.io.itk import open_itk

    return open_itk(path, max_voxels=max_voxels)


def _open_dicom(path: Path, *, max_voxels: int) -> OpenedScan:
    """DICOM; pydicom is an extra and takes a third of a second to import."""
    try:
        from medtranslate.io.dicom.reading import open_dicom
    except ModuleNotFoundError as error:
        raise MissingExtraError("pydicom", "dicom") from error
    return open_dicom(path, max_voxels=max_voxels)


OPENERS: dict[str, Opener] = {
    ".nii.gz": open_nifti,
    ".nii": open_nifti,
    ".hdr": open_nifti,
    ".img": open_nifti,
    ".nrrd": _open_itk,
    ".nhdr": _open_itk,
    ".mha": _open_itk,
    ".mhd": _open_itk,
    ".mgz": open_mgh,
    ".mgh": open_mgh,
}
"""Who opens which suffix."""


def is_scan(path: Path | str) -> bool:
    """Whether a path is to be read as one scan: a file with a scan's name, or DICOM."""
    path = Path(path)
    return (scan_suffix(path) is not None and not path.is_dir()) or holds_dicom(path)


def read_header(path: Path | str, *, max_voxels: int = MAX_VOXELS) -> ScanHeader:
    """What a file says about itself, without reading its voxels.

    A file that is cut off or damaged behind its header passes here; :func:`read_volume` finds it.

    Args:
        path: A file with one of ``SCAN_SUFFIXES``, or DICOM: a folder, zip, DICOMDIR or
            multi-frame file, see :class:`~medtranslate.io.dicom.location.SeriesLocation`.
        max_voxels: Largest claim accepted.

    Raises:
        VolumeReadError: If the header is not that of one readable 3-D volume.
        GeometryError: If the header does not say where the voxels lie, or they are sheared.
    """
    return _open_scan(Path(path), max_voxels=max_voxels).header


def read_volume(
    path: Path | str, *, modality: str | None = None, max_voxels: int = MAX_VOXELS
) -> Volume:
    """Read one 3-D scan in the order and orientation its file stores it.

    Every question comes before the allocation: the header is read and its claim bounded, then
    the bytes are drained, counted against the claim and their checksum verified, then decoded.
    NIfTI takes its position from the sform if its code is above zero, else from the qform; if
    both are set and differ in orientation, in spacing or by more than 1 mm, it is refused.

    Args:
        path: As :func:`read_header`.
        modality: BIDS suffix; ``CT`` and ``CBCT`` are in HU, anything else is arbitrary. DICOM says
            itself whether it is CT or PET.
        max_voxels: Largest claim accepted.

    Returns:
        Array ``(1, i, j, k)``, float32, C order; float64 where float32 would round numbers
        above 2**24.

    Raises:
        VolumeReadError: If the file is not one complete, finite 3-D volume, or shows something
            else than ``modality``.
        GeometryError: If where the voxels lie is missing, contradictory, singular or sheared.
    """
    path = Path(path)
    opened = _open_scan(path, max_voxels=max_voxels)
    modality = _choose_modality(opened.header, modality)
    if opened.conflict is not None:
        raise GeometryError(opened.conflict)
    with np.errstate(over="ignore", invalid="ignore"):  # scaling that overflows gives infinity
        voxels = _check_finite(path, opened.decode())
    array = to_float(voxels)
    unit: Unit = "HU" if modality in _MODALITIES_IN_HU else "arbitrary"
    return Volume(array[np.newaxis], opened.header.geometry, modality, unit)


def read_mask(path: Path | str, *, like: Geometry | None = None) -> np.ndarray:
    """Read a mask or label map: where it is not zero.

    Args:
        path: A file with one of ``SCAN_SUFFIXES``.
        like: The grid the mask must lie on; any grid if None.

    Returns:
        Boolean, shape ``(i, j, k)``, at least one voxel true.

    Raises:
        VolumeReadError: As :func:`read_volume`, and if the mask is empty, or holds values that
            are negative or not whole numbers.
        GeometryError: If it lies on another grid than ``like``.
    """
    volume = read_volume(path)
    if like is not None and not volume.geometry.matches(like):
        raise GeometryError(
            f"{path}: mask lies on another grid than its image (mask {_place(volume.geometry)};"
            f" image {_place(like)}). Resample the mask onto the image's grid, nearest neighbour"
        )
    voxels = volume.voxels
    strange = int(np.count_nonzero((voxels != np.rint(voxels)) | (voxels < 0)))
    if strange:
        raise VolumeReadError(
            f"{path}: {strange:,} voxels of the mask are negative or not whole numbers, expected 0"
            " outside and 1 (or labels) inside. Threshold it first"
        )
    mask: np.ndarray = voxels != 0
    if not mask.any():
        raise VolumeReadError(f"{path}: mask is empty: no voxel is set. Give another mask, or none")
    return mask


def _choose_modality(header: ScanHeader, asked: str | None) -> str | None:
    """What a scan shows: as asked where the file does not contradict, else what the file says."""
    own = _CONTRASTS.get(header.modality or "", ())
    if asked is None:
        return own[0] if own else None
    others = [name for names in _CONTRASTS.values() for name in names]
    fits = asked in own if own else asked not in others
    if header.modality is not None and not fits:
        raise DicomError(
            f"{header.path}: is said to be {asked}, but its DICOM says {header.modality}. Correct"
            " the contrast, or give another series"
        )
    return asked


def _open_scan(path: Path, *, max_voxels: int) -> OpenedScan:
    if holds_dicom(path):
        return _open_dicom(path, max_voxels=max_voxels)
    check_file(path)
    suffix = ".img" if path.suffix.lower() == ".img" else (scan_suffix(path) or "").lower()
    opener: Callable[..., OpenedScan] | None = OPENERS.get(suffix)
    if opener is not None:
        return opener(path, max_voxels=max_voxels)
    start = peek(path)
    raise VolumeReadError(
        f"{path}: name does not end like a scan (expected {' '.join(SCAN_SUFFIXES)}); the file"
        f" {describe_content(start)}"
    )


def _check_finite(path: Path, voxels: np.ndarray) -> np.ndarray:
    if voxels.dtype.kind == "f":
        bad = voxels.size - int(np.count_nonzero(np.isfinite(voxels)))
        if bad:
            raise VolumeReadError(
                f"{path}: {bad:,} of {voxels.size:,} voxels are NaN or infinite, expected finite"
                " numbers. Set them to the background value in a program that shows where they are"
            )
    return voxels


def to_float(voxels: np.ndarray) -> np.ndarray:
    """Voxels as :func:`read_volume` gives them: float32 in C order, or float64.

    The latter where float32 would round something above 2**24.
    """
    with np.errstate(over="ignore"):
        single: np.ndarray = np.ascontiguousarray(voxels, dtype=np.float32)
    largest = max(abs(float(voxels.min())), abs(float(voxels.max())))
    if largest <= _EXACT_IN_FLOAT32 or np.array_equal(single, voxels):
        return single
    double: np.ndarray = np.ascontiguousarray(voxels, dtype=np.float64)
    return double


def _place(geometry: Geometry) -> str:
    """A grid and the position of its first voxel, for messages."""
    first = ", ".join(f"{value:.1f}" for value in geometry.affine[:3, 3])
    return f"{geometry.describe()}, first voxel at ({first}) mm"
