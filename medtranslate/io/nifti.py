"""Open NIfTI files: every question to the header before any voxel is read."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError

from medtranslate.errors import GeometryError, VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.io.scan import (
    OpenedScan,
    ScanHeader,
    check_dtype,
    check_shape,
    check_size,
    make_geometry,
)
from medtranslate.io.stream import describe_content, read_exactly, read_start

_NIFTI1_BYTES = 348
_NIFTI2_BYTES = 540
_LARGEST_OFFSET = 2**28
_NOTICED_MM = 0.01
_REFUSED_MM = 1.0
_REFUSED_SPACING = 0.01
_UNITS = {0: "unknown", 1: "metre", 2: "mm", 3: "micrometre"}
_MAGIC = {b"n+1\0": True, b"ni1\0": False, b"n+2\0": True, b"ni2\0": False}


def open_nifti(path: Path, *, max_voxels: int) -> OpenedScan:
    """Open ``.nii``, ``.nii.gz`` or a ``.hdr``/``.img`` pair; reads the header alone.

    The position comes from the sform where its code is above zero, else from the qform. Neither
    is an error. Both, but apart, is a warning from 0.01 mm on and a conflict when they differ in
    orientation, by 1 % in spacing or by more than 1 mm anywhere.

    Raises:
        VolumeReadError: If the header is not that of one readable 3-D volume.
        GeometryError: If it does not say where the voxels lie.
    """
    header_path, data_path = find_pair(path)
    compressed = path.name.lower().endswith(".gz")
    single = header_path == data_path
    header = _read_header(header_path, compressed=compressed, single=single)
    full_shape, dtype = _check_voxels(path, header)
    shape = check_shape(path, full_shape)
    offset = _check_offset(path, header, single=single)
    promised = offset + check_size(path, shape, dtype.itemsize, max_voxels=max_voxels)
    geometry, warnings, conflict = _choose_geometry(path, header, shape)

    def decode() -> np.ndarray:
        data = read_exactly(data_path, promised, compressed=compressed)
        try:
            voxels: np.ndarray = header.data_from_fileobj(io.BytesIO(data))
        except (HeaderDataError, ValueError, OSError) as error:
            raise VolumeReadError(f"{path}: voxels cannot be decoded ({error})") from error
        return voxels.reshape(shape)

    return OpenedScan(
        ScanHeader(path, geometry, dtype.name, full_shape, warnings), conflict, decode
    )


def find_pair(path: Path) -> tuple[Path, Path]:
    """Where header and voxels are: in one file, or in ``.hdr`` and ``.img``.

    Raises:
        VolumeReadError: If one of two is missing.
    """
    if path.suffix.lower() not in (".hdr", ".img"):
        return path, path
    upper = path.suffix.isupper()
    header, data = (path.with_suffix(s.upper() if upper else s) for s in (".hdr", ".img"))
    for part, partner in ((header, data), (data, header)):
        if not part.exists() and partner.exists():
            raise VolumeReadError(
                f"{partner}: its other half {part.name} is missing; a .hdr and an .img belong"
                " together. Put both into one folder"
            )
    return header, data


def _read_header(path: Path, *, compressed: bool, single: bool) -> nibabel.Nifti1Header:
    """Read and recognise the fixed part of the header; extensions are left unread."""
    block = read_start(path, _NIFTI2_BYTES, compressed=compressed)
    sizes = {int.from_bytes(block[:4], order) for order in ("little", "big")}
    if _NIFTI1_BYTES in sizes:
        length, magic = _NIFTI1_BYTES, block[344:348]
    elif _NIFTI2_BYTES in sizes:
        length, magic = _NIFTI2_BYTES, block[4:8]
    else:
        raise VolumeReadError(f"{path}: expected NIfTI, but the file {describe_content(block)}")
    if len(block) < length:
        raise VolumeReadError(
            f"{path}: is cut off inside its header ({len(block)} of {length} bytes). Fetch it again"
        )
    if magic not in _MAGIC:
        raise VolumeReadError(
            f"{path}: has no NIfTI signature; it may be Analyze 7.5, which does not say which side"
            " is left. Convert it to NIfTI with a program that knows its orientation"
        )
    if _MAGIC[magic] != single:
        kind = "header and voxels in one file" if _MAGIC[magic] else "voxels in another file"
        raise VolumeReadError(
            f"{path}: header announces {kind}, which its name contradicts. Use .nii for one file,"
            " .hdr with .img for two"
        )
    if length == _NIFTI1_BYTES:
        return nibabel.Nifti1Header(block[:length], check=False)
    return nibabel.Nifti2Header(block[:length], check=False)


def _check_voxels(path: Path, header: nibabel.Nifti1Header) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and stored type."""
    count = int(header["dim"][0])
    if not 1 <= count <= 7:
        raise VolumeReadError(
            f"{path}: header claims {count} dimensions, expected 3. The header is damaged"
        )
    shape = tuple(int(n) for n in header["dim"][1 : count + 1])
    dtype = _check_type(path, header)
    try:
        scaled = not np.isinf(header["scl_slope"])
        header.get_slope_inter()
    except HeaderDataError:
        scaled = False
    if not scaled:
        raise VolumeReadError(
            f"{path}: scaling in the header is slope {header['scl_slope']}, intercept"
            f" {header['scl_inter']}; expected finite numbers. Save it again from its origin"
        )
    return shape, dtype


def _check_type(path: Path, header: nibabel.Nifti1Header) -> np.dtype:
    """Stored type, one real number a voxel."""
    code = int(header["datatype"])
    try:
        dtype: np.dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        raise VolumeReadError(
            f"{path}: voxels are of NIfTI type {code}, which does not exist. The header is damaged;"
            " fetch the file again"
        ) from None
    check_dtype(path, dtype, name=f"of NIfTI type {code} ({dtype.name})")
    if int(header["bitpix"]) != 8 * dtype.itemsize:
        raise VolumeReadError(
            f"{path}: header claims {int(header['bitpix'])} bits a voxel, but its type {dtype.name}"
            f" has {8 * dtype.itemsize}. The header is damaged; save it again from its origin"
        )
    return dtype


def _check_offset(path: Path, header: nibabel.Nifti1Header, *, single: bool) -> int:
    """Where the voxels begin."""
    offset = float(header["vox_offset"])
    smallest = int(header.single_vox_offset) if single else 0
    if not (smallest <= offset <= _LARGEST_OFFSET and offset == int(offset)):
        raise VolumeReadError(
            f"{path}: header says voxels begin at byte {offset:g}, expected {smallest} or more. The"
            " header is damaged; save it again from its origin"
        )
    return int(offset)


def _choose_geometry(
    path: Path, header: nibabel.Nifti1Header, shape: tuple[int, int, int]
) -> tuple[Geometry, tuple[str, ...], str | None]:
    """Where the voxels lie, what is odd about it, and what puts it in doubt."""
    warnings = list(_check_units(path, header))
    sform = qform = problem = conflict = None
    if int(header["sform_code"]) > 0:
        sform = make_geometry(path, shape, header.get_sform())
    if int(header["qform_code"]) > 0:
        try:
            qform = make_geometry(path, shape, header.get_qform())
        except (HeaderDataError, ValueError) as error:
            problem = GeometryError(f"{path}: qform cannot be read ({error}). Save the scan again")
        except GeometryError as error:
            problem = error
    if sform is None and problem is not None:
        raise problem
    geometry = sform or qform
    if geometry is None:
        raise GeometryError(
            f"{path}: has neither sform nor qform, so nothing says where the patient's left is;"
            " expected one with a code above 0. Set it with a program that knows the orientation,"
            " or convert the scan again from DICOM"
        )
    if problem is not None:
        warnings.append("the qform cannot be used; the sform is")
    if sform is not None and qform is not None:
        difference, severe = _compare_forms(sform, qform)
        if difference:
            warnings.append(f"sform and qform differ ({difference}); the sform is used")
        if severe:
            conflict = (
                f"{path}: sform and qform put the voxels in different places ({difference}),"
                " expected one position. Find out which is right and copy it over the other,"
                " for example with fslorient or nibabel"
            )
    return geometry, tuple(warnings), conflict


def _check_units(path: Path, header: nibabel.Nifti1Header) -> tuple[str, ...]:
    code = int(header["xyzt_units"]) & 7
    if _UNITS.get(code) == "mm":
        return ()
    if _UNITS.get(code) == "unknown":
        return ("header names no unit of length; millimetres are taken",)
    raise GeometryError(
        f"{path}: lengths are in {_UNITS.get(code, f'unit {code}')}, expected mm. Save it again"
        " with its position in millimetres"
    )


def _compare_forms(sform: Geometry, qform: Geometry) -> tuple[str, bool]:
    """How two grids place the same voxels differently (empty: nowhere); whether severely."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in sform.shape])).reshape(3, -1)
    moved = (sform.affine - qform.affine) @ np.vstack([corners, np.ones(8)])
    distance = float(np.linalg.norm(moved[:3], axis=0).max())
    parts = []
    if sform.orientation != qform.orientation:
        parts.append(f"orientation {sform.orientation} and {qform.orientation}")
    if not np.allclose(sform.spacing, qform.spacing, rtol=_REFUSED_SPACING, atol=0):
        texts = ["x".join(f"{value:.3g}" for value in form.spacing) for form in (sform, qform)]
        parts.append(f"spacing {texts[0]} and {texts[1]} mm")
    severe = bool(parts) or distance > _REFUSED_MM
    if severe or distance > _NOTICED_MM:
        parts.append(f"up to {distance:.2f} mm apart")
    return ", ".join(parts), severe
