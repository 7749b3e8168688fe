"""Take apart the text headers of MetaImage and NRRD files, to know what bytes must follow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medtranslate.errors import GeometryError, VolumeReadError
from medtranslate.io.stream import describe_content, read_start

_LARGEST_HEADER = 1 << 16
_META_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_NRRD_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_NRRD_SPACES = ("right-anterior-superior", "ras", "left-anterior-superior", "las",
                "left-posterior-superior", "lps")  # fmt: skip


@dataclass(frozen=True)
class TextHeader:
    """What a text header announces.

    Attributes:
        shape: Voxels along each stored axis, ``(i, j, k)`` and perhaps ones.
        dtype: Stored type.
        data_path: File that holds the voxels; the header's own or its neighbour.
        data_start: Byte at which they begin.
        packed: Whether they are one zlib or gzip stream.
        packed_bytes: Length of that stream where the header tells it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    data_path: Path
    data_start: int
    packed: bool
    packed_bytes: int | None = None


def read_metaimage_header(path: Path) -> TextHeader:
    """The header of an ``.mha`` or ``.mhd`` file.

    Raises:
        VolumeReadError: If it is not that of one readable scalar image.
        GeometryError: If it does not say where the voxels lie.
    """
    block = read_start(path, _LARGEST_HEADER, compressed=False)
    match = re.search(rb"^\s*ElementDataFile[ \t]*=[^\r\n]*\r?(?:\n|\Z)", block, re.MULTILINE)
    if match is None or b"=" not in block[:64]:
        raise VolumeReadError(f"{path}: expected MetaImage, but the file {describe_content(block)}")
    fields = _split_fields(block[: match.end()].decode("latin-1").splitlines(), "=")
    if fields.get("BinaryData", "True").lower() != "true":
        _refuse(path, "stores its voxels as text", "binary voxels")
    if _int_field(path, fields, "HeaderSize", 0) != 0:
        _refuse(path, "skips bytes before its voxels", "voxels right behind the header")
    if _int_field(path, fields, "ElementNumberOfChannels", 1) != 1:
        count = fields["ElementNumberOfChannels"]
        _refuse(path, f"has {count} numbers a voxel (colours or vectors)", "one number a voxel")
    _require(path, fields, ("TransformMatrix", "Rotation", "Orientation"))
    _require(path, fields, ("Offset", "Position", "Origin"))
    _require(path, fields, ("ElementSpacing",))
    if _int_field(path, fields, "NDims", 0) != len(fields.get("DimSize", "").split()):
        _refuse(path, "contradicts itself about its dimensions", "as many DimSize as NDims")
    packed = fields.get("CompressedData", "False").lower() == "true"
    local = fields["ElementDataFile"].upper() == "LOCAL"
    packed_bytes = _int_field(path, fields, "CompressedDataSize", 0)
    return TextHeader(
        shape=_parse_shape(path, fields.get("DimSize", "")),
        dtype=_parse_type(path, fields.get("ElementType", ""), _META_TYPES),
        data_path=path if local else _find_neighbour(path, fields["ElementDataFile"]),
        data_start=match.end() if local else 0,
        packed=packed,
        packed_bytes=packed_bytes or None if packed else None,
    )


def read_nrrd_header(path: Path) -> TextHeader:
    """The header of an ``.nrrd`` or ``.nhdr`` file.

    Raises:
        VolumeReadError: If it is not that of one readable scalar image.
        GeometryError: If it does not say where the voxels lie.
    """
    block = read_start(path, _LARGEST_HEADER, compressed=False)
    end = re.search(rb"\r?\n\r?\n", block)
    text = block[: end.start() if end else None].decode("latin-1")
    if not text.startswith("NRRD000"):
        raise VolumeReadError(f"{path}: expected NRRD, but the file {describe_content(block)}")
    lines = [line for line in text.splitlines()[1:] if not line.startswith("#")]
    fields = {key.lower(): value for key, value in _split_fields(lines, ": ").items()}
    types = {name: code for code, names in _NRRD_TYPES.items() for name in names}
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz"):
        _refuse(path, f"has encoding {encoding!r}", "raw or gzip")
    _check_nrrd_space(path, fields)
    data_file = fields.get("data file", fields.get("datafile"))
    if data_file is None and end is None:
        _refuse(path, "is cut off inside its header", "an empty line behind it")
    skips = ("line skip", "lineskip", "byte skip", "byteskip")
    if any(_int_field(path, fields, key, 0) for key in skips):
        _refuse(path, "skips bytes before its voxels", "voxels right behind the header")
    return TextHeader(
        shape=_parse_shape(path, fields.get("sizes", "")),
        dtype=_parse_type(path, fields.get("type", "").lower(), types),
        data_path=path if data_file is None else _find_neighbour(path, data_file),
        data_start=end.end() if data_file is None and end else 0,
        packed=encoding != "raw",
    )


def _check_nrrd_space(path: Path, fields: dict[str, str]) -> None:
    """Refuse an NRRD whose position in the patient is not fully stated."""
    _require(path, fields, ("space",))
    _require(path, fields, ("space directions",))
    _require(path, fields, ("space origin",))
    if fields["space"].lower() not in _NRRD_SPACES:
        raise GeometryError(
            f"{path}: space is {fields['space']!r}, expected one that names the patient's sides"
            " (left-posterior-superior or right-anterior-superior). Save it again with one of them"
        )
    if "none" in fields["space directions"].lower():
        _refuse(path, "has an axis that is not one of space (vectors or frames)", "three axes")
    units = set(re.findall(r'"([^"]*)"', fields.get("space units", ""))) - {"mm", ""}
    if units:
        raise GeometryError(
            f"{path}: lengths are in {', '.join(sorted(units))}, expected mm. Save it again with"
            " its position in millimetres"
        )


def _split_fields(lines: list[str], separator: str) -> dict[str, str]:
    """Keys and values of the lines that hold both; the first of a repeated key is kept."""
    fields: dict[str, str] = {}
    for line in lines:
        key, found, value = line.partition(separator)
        if found:
            fields.setdefault(key.strip(), value.strip())
    return fields


def _int_field(path: Path, fields: dict[str, str], key: str, default: int) -> int:
    """A whole number of the header.

    Raises:
        VolumeReadError: If it is something else.
    """
    try:
        return int(fields.get(key, default))
    except ValueError:
        raise VolumeReadError(
            f"{path}: header field {key!r} is not a whole number. The header is damaged"
        ) from None


def _require(path: Path, fields: dict[str, str], names: tuple[str, ...]) -> None:
    if not any(name in fields for name in names):
        raise GeometryError(
            f"{path}: header has no {names[0]!r}, so it does not say where the voxels lie in the"
            " patient. Save it again with its position"
        )


def _parse_shape(path: Path, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split())
    except ValueError:
        raise VolumeReadError(
            f"{path}: header does not give the shape as whole numbers. The header is damaged"
        ) from None


def _parse_type(path: Path, name: str, types: dict[str, str]) -> np.dtype:
    if name not in types:
        _refuse(path, f"has voxel type {name!r}", f"one of {', '.join(types)}")
    return np.dtype(types[name])


def _find_neighbour(path: Path, name: str) -> Path:
    """The file beside the header that holds its voxels; a header may not lead elsewhere."""
    if name.upper().startswith("LIST") or "%" in name or len(name.split()) > 1:
        _refuse(path, "spreads its voxels over several files", "one file")
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        _refuse(path, "points to voxels in another folder", "a file beside the header")
    neighbour = path.parent / name
    if not neighbour.is_file():
        raise VolumeReadError(
            f"{path}: its other half {neighbour.name!r} is missing. Put both into one folder"
        )
    return neighbour


def _refuse(path: Path, found: str, expected: str) -> None:
    raise VolumeReadError(
        f"{path}: {found}, expected {expected}. Save it again, for example as .nii.gz"
    )
