"""Read and write NRRD and MetaImage with SimpleITK, after asking the file what it holds.

SimpleITK reads a file that is cut off without a word, so the bytes are counted here first.
SimpleITK's world is LPS; it is turned into RAS on entry and back on exit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from einops import rearrange

from medtranslate.errors import VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.io.scan import (
    OpenedScan,
    ScanHeader,
    check_shape,
    check_size,
    make_geometry,
)
from medtranslate.io.stream import check_inflated, read_exactly
from medtranslate.io.textheader import TextHeader, read_metaimage_header, read_nrrd_header

_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def open_itk(path: Path, *, max_voxels: int) -> OpenedScan:
    """Open ``.nrrd``, ``.nhdr``, ``.mha`` or ``.mhd``; reads the header alone.

    Raises:
        VolumeReadError: If the header is not that of one readable 3-D volume.
        GeometryError: If it does not say where the voxels lie.
    """
    nrrd = path.suffix.lower() in (".nrrd", ".nhdr")
    text = read_nrrd_header(path) if nrrd else read_metaimage_header(path)
    shape = check_shape(path, text.shape)
    promised = check_size(path, shape, text.dtype.itemsize, max_voxels=max_voxels)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise VolumeReadError(
            f"{path}: header cannot be read ({_last_line(error)}). Save it again"
        ) from error
    if reader.GetSize()[:3] != shape or reader.GetNumberOfComponents() != 1:
        raise VolumeReadError(f"{path}: header contradicts itself about its shape. Save it again")
    affine = _read_affine(reader)

    def decode() -> np.ndarray:
        _check_voxel_bytes(text, promised)
        try:
            array = sitk.GetArrayFromImage(reader.Execute())
        except RuntimeError as error:
            raise VolumeReadError(
                f"{path}: voxels cannot be decoded ({_last_line(error)}). Save it again"
            ) from error
        return rearrange(array.reshape(shape[::-1]), "k j i -> i j k")

    geometry = make_geometry(path, shape, affine)
    return OpenedScan(ScanHeader(path, geometry, text.dtype.name, text.shape), None, decode)


def write_itk(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    """Write one array ``(i, j, k)`` as ``.nrrd`` or ``.mha``, packed; not atomic by itself.

    Raises:
        OSError: If SimpleITK reports a failure.
    """
    image = sitk.GetImageFromArray(np.ascontiguousarray(rearrange(array, "i j k -> k j i")))
    affine = _LPS_FROM_RAS @ geometry.affine
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / np.array(geometry.spacing)).ravel().tolist())
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        raise OSError(_last_line(error)) from error


def _check_voxel_bytes(text: TextHeader, promised: int) -> None:
    """Count the bytes behind the header against what it announces."""
    if not text.packed:
        read_exactly(text.data_path, promised, compressed=False, start=text.data_start)
        return
    if text.packed_bytes is not None:
        present = text.data_path.stat().st_size - text.data_start
        if present != text.packed_bytes:
            raise VolumeReadError(
                f"{text.data_path}: holds {present:,} packed bytes, expected the"
                f" {text.packed_bytes:,} its header announces. Fetch the file again"
            )
    check_inflated(text.data_path, promised, start=text.data_start)


def _read_affine(reader: sitk.ImageFileReader) -> np.ndarray:
    """Voxel index to RAS+ millimetres."""
    count = reader.GetDimension()
    direction = np.array(reader.GetDirection()).reshape(count, count)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(reader.GetSpacing())[:3]
    affine[:3, 3] = reader.GetOrigin()[:3]
    ras: np.ndarray = _LPS_FROM_RAS @ affine
    return ras


def _last_line(error: Exception) -> str:
    """The part of SimpleITK's message that names the cause, without paths of its build."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("ITK ERROR: ") if lines else "no reason given"
