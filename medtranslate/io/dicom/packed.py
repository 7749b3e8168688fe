"""What packed frames say of themselves, compared with their header before they are unpacked.

A decoder believes the stream: it takes the memory that the stream asks for, and gives a picture of
9 x 8 voxels for one of 8 x 9. So the sizes are read here first, which pydicom does not offer.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import as_pixel_options, get_expected_length
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    RLELossless,
)

from medtranslate.io.dicom.bombs import most_unpacked

_RLE_HEADER_BYTES = 64
_SOF_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_JP2_SIGNATURE = b"\0\0\0\x0cjP  "


@dataclass(frozen=True)
class FrameClaim:
    """The picture that a frame, or its header, announces."""

    rows: int
    columns: int
    samples: int
    bits: int


def find_packing_fault(dataset: Dataset, syntax: UID) -> str | None:
    """Why packed pixel data is not to be unpacked; None if it may be.

    Args:
        dataset: With its pixel data.
        syntax: How they are packed.
    """
    size, present = get_expected_length(dataset), len(dataset.PixelData)
    if size > most_unpacked(present):
        return f"its header claims {size:,} bytes of voxels in {present:,} packed ones"
    header = FrameClaim(
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.BitsAllocated
    )
    find_fault = _find_rle_fault if syntax == RLELossless else _comparison(syntax)
    return _find_frame_fault(dataset, lambda frame: find_fault(frame, header))


def _find_frame_fault(dataset: Dataset, find_fault: Callable[[bytes], str | None]) -> str | None:
    """What is wrong with the first frame that is not sound, of those that the header counts."""
    room = len(dataset.PixelData)
    missing = count = as_pixel_options(dataset)["number_of_frames"]
    for frame in split_frames(dataset):
        missing -= 1
        room -= len(frame)
        fault = find_fault(frame) if room >= 0 else "its packed frames lie over each other"
        if fault is not None:
            return fault
    return f"it is cut off: {count - missing} of {count} frames" if missing else None


def split_frames(dataset: Dataset) -> Iterator[bytes]:
    """The packed frames that the header counts; what follows them is not looked at."""
    options = as_pixel_options(dataset)
    frames = generate_frames(
        dataset.PixelData,
        number_of_frames=options["number_of_frames"],
        extended_offsets=options.get("extended_offsets"),
    )
    return itertools.islice(frames, options["number_of_frames"])


def _comparison(syntax: UID) -> Callable[[bytes, FrameClaim], str | None]:
    """What compares a frame of JPEG, JPEG-LS or JPEG 2000 with its header."""
    read = read_jpeg2000 if syntax in JPEG2000TransferSyntaxes else read_jpeg

    def compare(frame: bytes, header: FrameClaim) -> str | None:
        found = read(frame)
        if found is None:
            return "its packed voxels do not say what they are"
        if found.bits <= header.bits and replace(found, bits=header.bits) == header:
            return None
        return f"its voxels are packed as {_describe(found)}, its header claims {_describe(header)}"

    return compare


def _describe(claim: FrameClaim) -> str:
    return f"{claim.rows} x {claim.columns} x {claim.samples} of {claim.bits} bits"


def read_jpeg(frame: bytes) -> FrameClaim | None:
    """What the head of JPEG or JPEG-LS claims; None if it has none.

    Example:
        >>> read_jpeg(bytes.fromhex("ffd8 ffc3 000b 10 0008 0009 01 011100"))
        FrameClaim(rows=8, columns=9, samples=1, bits=16)
    """
    if not frame.startswith(b"\xff\xd8"):
        return None
    offset = 2
    while offset + 10 <= len(frame) and frame[offset] == 0xFF:
        marker = frame[offset + 1]
        if marker in _SOF_MARKERS:
            return FrameClaim(*_reorder(*struct.unpack_from(">BHHB", frame, offset + 4)))
        # Any number of 0xFF may stand in front of a marker.
        offset += 1 if marker == 0xFF else 2 + int.from_bytes(frame[offset + 2 : offset + 4], "big")
    return None


def _reorder(bits: int, rows: int, columns: int, samples: int) -> tuple[int, int, int, int]:
    return rows, columns, samples, bits


def read_jpeg2000(frame: bytes) -> FrameClaim | None:
    """What the head of JPEG 2000 claims, with or without boxes around it; None if it has none."""
    offset = _skip_boxes(frame)
    if frame[offset : offset + 4] != b"\xff\x4f\xff\x51" or len(frame) < offset + 45:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", frame, offset + 8)
    samples, depth, *steps = struct.unpack_from(">H3B", frame, offset + 40)
    if steps != [1, 1]:  # samples further apart than voxels make another picture
        return None
    return FrameClaim(bottom - top, right - left, samples, (depth & 0x7F) + 1)


def _skip_boxes(frame: bytes) -> int:
    """Where the codestream begins; the end of the frame if its boxes hold none."""
    if not frame.startswith(_JP2_SIGNATURE):
        return 0
    offset = 0
    while frame[offset + 4 : offset + 8] != b"jp2c":
        length = int.from_bytes(frame[offset : offset + 4], "big")
        if length < 8:
            return len(frame)
        offset += length
    return offset + 8


def _find_rle_fault(frame: bytes, header: FrameClaim) -> str | None:
    """Segments follow each other within the frame, and are no longer than a poor packer's."""
    if len(frame) < _RLE_HEADER_BYTES:
        return "its packed voxels do not say what they are"
    count, *offsets = struct.unpack_from("<16L", frame)
    expected = header.samples * header.bits // 8
    if count != expected:
        return f"its voxels are packed in {count} segments, expected {expected}"
    ends = [*offsets[1:count], len(frame)]
    largest = 2 * header.rows * (header.columns + 1) + 2  # at worst a byte before every byte
    for start, end in zip(offsets, ends, strict=False):
        if not _RLE_HEADER_BYTES <= start < end <= len(frame) or end - start > largest:
            return "its packed voxels lie where they cannot"
    return None
