"""Write a scan and its sidecar so that they are whole or absent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from isal import igzip
from nibabel.spatialimages import HeaderDataError

from medtranslate.errors import MedTranslateError, VolumeWriteError
from medtranslate.geometry import Geometry
from medtranslate.io.atomic import atomic_path, atomic_writer, format_json
from medtranslate.io.marks import make_mark_extension
from medtranslate.io.reading import OPENERS, to_float
from medtranslate.io.scan import MAX_VOXELS
from medtranslate.io.suffixes import scan_suffix
from medtranslate.provenance import hash_volume
from medtranslate.volume import Volume

_TEMPORARY_SUFFIXES = {".nii.gz": ".gz", ".nii": "", ".nrrd": ".nrrd", ".mha": ".mha"}
"""SimpleITK goes by the name; a NIfTI left behind by a killed run must not look like a scan."""

WRITTEN_SUFFIXES = tuple(_TEMPORARY_SUFFIXES)
"""What :func:`write_volume` writes."""

VOXELS_KEY = "VoxelsSha256"
"""Key of a sidecar that holds the hash of the voxels and affine that :func:`read_volume` gives."""

_DESCRIPTION_BYTES = 79
_SCANNER_CODE = 1
COMPRESSION_LEVEL = 1
"""Of ISA-L, 0 to 3: files as small as those of zlib's level 1, in a fraction of its time."""
_POSITION_TOLERANCE_MM = 1e-3
_STORED_TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")


def write_volume(
    path: Path | str,
    volume: Volume,
    *,
    sidecar: Mapping[str, Any] | None = None,  # Any: whatever JSON can hold
    description: str = "",
    mark: Mapping[str, Any] | None = None,
    dtype: np.dtype | type[np.generic] | str | None = None,
) -> None:
    """Write one scan; its final name never holds anything but the whole of it.

    The file is written beside its final name, flushed, read again and compared; then the sidecar
    is written, then the file is renamed; a scan with a sidecar that is to be replaced goes just
    before. Equal volumes give equal bytes. NIfTI gets sform and
    qform with the same code (1, scanner), millimetres, no scaling, and nothing of any source
    file's header.

    Args:
        path: Ends with one of ``WRITTEN_SUFFIXES``; missing folders are made.
        volume: One channel, finite.
        sidecar: Plain data for the JSON file of the same stem, to which the hash of voxels and
            affine is added; none is written if None.
        description: ASCII text of at most 79 bytes for NIfTI's ``descrip``.
        mark: Plain data for a comment extension of a NIfTI header; the other formats have no
            place for it.
        dtype: Stored type; the array's own if None (booleans become uint8). Values are rounded to
            a whole-number type and must fit into it.

    Raises:
        ValueError: If an argument cannot be written: suffix, channels, type, range, description.
        VolumeWriteError: If the voxels are not finite, or the file cannot be written completely.
    """
    path = Path(path)
    suffix = (scan_suffix(path) or "").lower()
    if suffix not in WRITTEN_SUFFIXES:
        raise ValueError(f"{path}: cannot be written, expected a name with {WRITTEN_SUFFIXES}")
    if volume.array.shape[0] != 1:
        raise ValueError(f"{path}: volume has {volume.array.shape[0]} channels, expected one")
    if len(description.encode()) > _DESCRIPTION_BYTES or not description.isascii():
        raise ValueError(f"description is {description!r}, expected at most 79 ASCII characters")
    array = _to_stored_type(path, volume.voxels, dtype)
    with atomic_path(path, suffix=_TEMPORARY_SUFFIXES[suffix], num_bytes=array.nbytes) as temporary:
        if suffix.startswith(".nii"):
            image = _make_nifti(array, volume.geometry, description, mark)
            _write_bytes(temporary, image, packed=suffix != ".nii")
        else:
            from medtranslate.io.itk import write_itk  # costs a quarter of a second

            write_itk(temporary, array, volume.geometry)
        read_back = _compare(path, temporary, suffix, array, volume.geometry)
        if sidecar is not None:
            found = hash_volume(to_float(array), read_back.affine)
            _write_sidecar(path, {**sidecar, VOXELS_KEY: found})


def _write_sidecar(path: Path, sidecar: Mapping[str, Any]) -> None:
    """Write what describes a scan that is about to take its name.

    A scan that stood there goes first: killed in between, no old scan is left with a new sidecar.
    """
    text = format_json(dict(sidecar)).encode("utf-8")
    with atomic_writer(sidecar_path(path), num_bytes=len(text)) as file:
        file.write(text)
        file.flush()
        path.unlink(missing_ok=True)


def sidecar_path(path: Path | str) -> Path:
    """Where the JSON that describes a scan lies.

    Example:
        >>> sidecar_path("sub-01_T1w.nii.gz").name
        'sub-01_T1w.json'
    """
    path = Path(path)
    suffix = scan_suffix(path) or path.suffix
    return path.with_name(path.name[: len(path.name) - len(suffix)] + ".json")


def _to_stored_type(
    path: Path, voxels: np.ndarray, dtype: np.dtype | type[np.generic] | str | None
) -> np.ndarray:
    """The voxels as they will stand in the file, refused where that would change them silently."""
    if voxels.dtype.kind == "f":
        bad = voxels.size - int(np.count_nonzero(np.isfinite(voxels)))
        if bad:
            raise VolumeWriteError(
                f"{path}: {bad:,} of {voxels.size:,} voxels to be written are NaN or infinite,"
                " expected finite numbers; nothing was written. Find the step that made them"
            )
    wanted = np.dtype(dtype) if dtype is not None else _native_type(voxels.dtype)
    if wanted.name not in _STORED_TYPES:
        raise ValueError(f"{path}: voxel type {wanted} cannot be written, use {_STORED_TYPES}")
    if wanted.kind in "iu":
        limits = np.iinfo(wanted)
        whole = np.rint(voxels) if voxels.dtype.kind == "f" else voxels
        low, high = whole.min(), whole.max()
        if low < limits.min or high > limits.max:
            raise ValueError(
                f"{path}: values run from {low} to {high}, which {wanted} cannot hold;"
                " choose a wider type"
            )
        return whole.astype(wanted)
    with np.errstate(over="ignore"):
        stored: np.ndarray = voxels.astype(wanted)
    if not np.isfinite(stored).all():
        raise ValueError(f"{path}: values are too large for {wanted}; use float64")
    return stored


def _native_type(dtype: np.dtype) -> np.dtype:
    """The stored type that keeps every value of ``dtype``, in this machine's byte order."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype == np.float16:
        return np.dtype(np.float32)
    return np.dtype(np.int32) if dtype == np.int64 else dtype.newbyteorder("=")


def _make_nifti(
    array: np.ndarray, geometry: Geometry, description: str, mark: Mapping[str, Any] | None
) -> bytes:
    """A NIfTI-1 file; equal voxels and marks give equal bytes."""
    try:
        image = nibabel.Nifti1Image(array, geometry.affine, dtype=array.dtype)
        image.header["descrip"] = description.encode("ascii")
        image.header.set_xyzt_units("mm", "sec")
        image.set_sform(geometry.affine, code=_SCANNER_CODE)
        image.set_qform(geometry.affine, code=_SCANNER_CODE)
        if mark is not None:
            image.header.extensions.append(make_mark_extension(mark))
        data: bytes = image.to_bytes()
    except HeaderDataError as error:
        raise ValueError(f"volume does not fit into NIfTI-1: {error}") from error
    return data


def _write_bytes(path: Path, data: bytes, *, packed: bool) -> None:
    """Packed without time or name, so that equal bytes stay equal."""
    with path.open("wb") as file:
        if not packed:
            file.write(data)
            return
        with igzip.IGzipFile(
            filename="", mode="wb", fileobj=file, mtime=0, compresslevel=COMPRESSION_LEVEL
        ) as stream:
            stream.write(data)


def _compare(
    path: Path, temporary: Path, suffix: str, array: np.ndarray, geometry: Geometry
) -> Geometry:
    """Read what was written and refuse anything but the same voxels in the same place.

    Returns:
        The geometry as the file tells it, which may round the one that was meant.
    """
    try:
        opened = OPENERS[suffix](temporary, max_voxels=max(MAX_VOXELS, array.size))
        same = (
            opened.conflict is None
            and opened.header.geometry.matches(geometry, tolerance_mm=_POSITION_TOLERANCE_MM)
            and np.array_equal(opened.decode(), array)
        )
    except MedTranslateError as error:
        raise VolumeWriteError(
            f"{path}: what was written cannot be read again ({error}); nothing was left under this"
            " name. Check the disk"
        ) from error
    if not same:
        raise VolumeWriteError(
            f"{path}: what was written differs from what was meant; nothing was left under this"
            " name. Check the disk"
        )
    return opened.header.geometry
