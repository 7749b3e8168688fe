"""Real values of slices: pixel data decoded, counted against its header, and rescaled."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from einops import rearrange
from pydicom.dataset import FileDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
)

from medtranslate.errors import DicomError
from medtranslate.io.dicom.files import FileStore, short_name
from medtranslate.io.dicom.headers import (
    PARSE_FAILURES,
    UnreadableHeaderError,
    quiet,
    read_dataset,
)
from medtranslate.io.dicom.packed import find_packing_fault
from medtranslate.io.dicom.slices import Slice
from medtranslate.io.dicom.unpacking import APART, unpack_apart

_EXACT_IN_FLOAT32 = 2**24
_DECODERS = {JPEGBaseline8Bit: "pillow", JPEGExtended12Bit: "pillow"}
"""Where pydicom's first choice, GDCM, ends the whole program on some damaged frames."""


def read_slices(
    place: Path, store: FileStore, slices: Sequence[Slice]
) -> Iterator[tuple[Slice, np.ndarray]]:
    """Each slice with its real values, shape ``(i, j)``, float64; each file is decoded once.

    Raises:
        DicomError: If a file is cut off, damaged, or packed in a way that cannot be unpacked.
    """
    ordered = sorted(slices, key=lambda one: one.key)
    for key, group in itertools.groupby(ordered, key=lambda one: one.key):
        frames = decode_file(place, store, key)
        for one in group:
            number = one.frame or 0
            if number >= len(frames) or frames[number].shape != one.size[::-1]:
                raise _damaged(place, key, "its voxels are not of the size its header gives")
            values = rearrange(frames[number], "j i -> i j").astype(np.float64)
            yield one, values * one.slope + one.intercept


def decode_file(place: Path, store: FileStore, key: str) -> np.ndarray:
    """Stored values of every frame of a file, shape ``(n, j, i)``.

    Raises:
        DicomError: As :func:`read_slices`.
    """
    try:
        with store.open(key) as file:
            dataset = read_dataset(file, pixels=True)
    except (UnreadableHeaderError, OSError):
        raise _damaged(place, key, "it cannot be read") from None
    if dataset is None or "PixelData" not in dataset:
        raise _damaged(place, key, "it holds no pixel data")
    try:
        with quiet():
            _check_syntax(place, key, dataset)
            syntax = dataset.file_meta.TransferSyntaxUID
            array = _unpack(dataset, syntax)
    except PARSE_FAILURES:
        raise _damaged(place, key, "its pixel data cannot be decoded") from None
    return array if array.ndim == 3 else array[np.newaxis]


def _unpack(dataset: FileDataset, syntax: UID) -> np.ndarray:
    if syntax in APART:
        return unpack_apart(dataset, syntax)
    dataset.pixel_array_options(
        allow_excess_frames=False, decoding_plugin=_DECODERS.get(syntax, "")
    )
    array: np.ndarray = dataset.pixel_array
    return array


def choose_type(slices: Sequence[Slice]) -> type[np.float32 | np.float64]:
    """Float32 if it holds every real value that such slices can have as exactly as they need."""
    largest = max(abs(one.slope) * 2.0**one.bits + abs(one.intercept) for one in slices)
    return np.float32 if largest <= _EXACT_IN_FLOAT32 else np.float64


def _check_syntax(place: Path, key: str, dataset: FileDataset) -> None:
    """Count bytes of plain pixel data; ask whether packed ones can and may be unpacked."""
    syntax = dataset.file_meta.get("TransferSyntaxUID") if dataset.get("file_meta") else None
    if syntax is None:
        implicit = dataset.original_encoding[0]
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = syntax
    if not syntax.is_compressed or syntax.is_deflated:
        expected, present = get_expected_length(dataset), len(dataset.PixelData)
        if present < expected:
            raise _damaged(
                place, key, f"it is cut off: {present:,} of {expected:,} bytes of voxels"
            )
        return
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise DicomError(
            f"{place}: {short_name(key)} is packed in a way that is not known"
            " here. Unpack it first, for example with gdcmconv --raw"
        ) from None
    if not decoder.is_available:
        raise DicomError(
            f"{place}: {short_name(key)} is packed as {syntax.name}, for which no decoder is"
            " installed. Install them with: pip install 'medtranslate[dicom]'"
        )
    fault = find_packing_fault(dataset, syntax)
    if fault is not None:
        raise _damaged(place, key, fault)


def _damaged(place: Path, key: str, what: str) -> DicomError:
    return DicomError(f"{place}: damaged: {short_name(key)}: {what}. Fetch the file again")
