"""Open FreeSurfer's MGH and MGZ files with the questions NIfTI is asked."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from nibabel.freesurfer.mghformat import MGHError, MGHHeader
from nibabel.spatialimages import HeaderDataError

from medtranslate.errors import GeometryError, VolumeReadError
from medtranslate.io.scan import OpenedScan, ScanHeader, check_shape, check_size, make_geometry
from medtranslate.io.stream import describe_content, read_exactly, read_start

_HEADER_BYTES = 284
_LARGEST_FOOTER = 1 << 20
_TYPES: dict[int, np.dtype] = {
    code: np.dtype(name) for code, name in {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2"}.items()
}


def open_mgh(path: Path, *, max_voxels: int) -> OpenedScan:
    """Open ``.mgh`` or ``.mgz``; reads the header alone.

    Raises:
        VolumeReadError: If the header is not that of one readable 3-D volume.
        GeometryError: If it does not say where the voxels lie.
    """
    compressed = path.suffix.lower() == ".mgz"
    block = read_start(path, _HEADER_BYTES, compressed=compressed)
    numbers = np.frombuffer(block[:28].ljust(28, b"\0"), ">i4")
    if len(block) < _HEADER_BYTES or numbers[0] != 1:
        raise VolumeReadError(f"{path}: expected MGH, but the file {describe_content(block)}")
    full_shape = tuple(int(n) for n in numbers[1:5])
    dtype = _TYPES.get(int(numbers[5]))
    if dtype is None:
        raise VolumeReadError(
            f"{path}: voxels are of MGH type {int(numbers[5])}, expected one of {sorted(_TYPES)}."
            " Save it as float"
        )
    shape = check_shape(path, full_shape)
    promised = _HEADER_BYTES + check_size(path, shape, dtype.itemsize, max_voxels=max_voxels)
    if int.from_bytes(block[28:30], "big") != 1:
        raise GeometryError(
            f"{path}: header says its orientation is not set, so nothing says where the patient's"
            " left is. Set it with a program that knows the orientation"
        )
    try:
        header = MGHHeader(block, check=False)
        with np.errstate(all="ignore"):  # what overflows is refused by the geometry
            affine = header.get_affine()
    except (MGHError, HeaderDataError, ValueError) as error:
        raise VolumeReadError(f"{path}: header is damaged ({error}). Fetch it again") from error

    def decode() -> np.ndarray:
        data = read_exactly(path, promised, compressed=compressed, surplus=_LARGEST_FOOTER)
        voxels: np.ndarray = header.data_from_fileobj(io.BytesIO(data))
        return voxels.reshape(shape)

    geometry = make_geometry(path, shape, affine)
    return OpenedScan(ScanHeader(path, geometry, dtype.name, full_shape), None, decode)
