"""One picture of 8 x 9 voxels, packed by GDCM in each of the ways that DICOM allows."""

from __future__ import annotations

import base64

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

PICTURE = np.arange(72).reshape(8, 9) * 31 % 4096
"""What all but JPEG (8 bits) give back exactly, rows and columns."""

SYNTAXES = {
    "jpeg": JPEGBaseline8Bit,
    "jpeg-lossless": JPEGLosslessSV1,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
    "rle": RLELossless,
}

_PACKED = {
    "jpeg": (
        "/9j/2wBDAAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ"
        "EBAQEBAQH/wAALCAAIAAkBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIE"
        "AwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3OD"
        "k6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2"
        "t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/ALHgjw/4V/4JNfsjeC"
        "5fD3hTxBeftY/tK+H/AB14E/ZRsdG8Oadcad4T8VaDomh2fiP45eLNU8U+GfE3gg+H/glc+OPB3iG28Eaxo+va"
        "j8TvFWpeGfB0WgQ+Drzx7468BfHf/Cv/APgqf/0kB/4KAf8AiXn7Rf8A88Ov/9k="
    ),
    "jpeg-lossless": (
        "/9j/wwALEAAIAAkBAREA/8QAFgABAQEAAAAAAAAAAAAAAAAABQkQ/9oACAEBAAEAAM+++++++/Rd9999999+i7"
        "77777779F333333336Lvvvvvvvv0Xffffffffou+++++++/Rd9999999//2QA="
    ),
    "jpeg-ls": (
        "/9j/9wALEAAIAAkBAREA//gADQH//wASAEMBFABA/9oACAEBAAAAAKHsPYdw9h3HMbzXF0PoeR1HE2mkyh9i6Y"
        "S6sqqimpIeYsoqCenJqYmI6xVLS1SpSpUo4RRQoUKE6dOmyJp0yZMmTJk0RJKlSpUqVKmQ/9kA"
    ),
    "jpeg-2000": (
        "/0//UQApAAAAAAAJAAAACAAAAAAAAAAAAAAACQAAAAgAAAAAAAAAAAABDwEB/1IADAAAAAEAAgQEAAH/XAAKQI"
        "CIiJCIiJD/ZAAqAAFDcmVhdGVkIGJ5IEdEQ00vT3BlbkpQRUcgdmVyc2lvbiAyLjMuMP+QAAoAAAAAADQAAf+T"
        "3/iQaAejbES2Rbns6dSOET+gH7AwCzt4LW8HoA/MHAOACj2Z3U3/2QA="
    ),
    "rle": (
        "AgAAAEAAAABeAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP"
        "gA+QEAAvoC/wP6A/8E+wT+BfwF/Qb9BvwH/Qf8CAgAHz5dfJu62fgIFzZVdJOy0fAPCC5NbIuqyegHJghFZIOi"
        "weD/Hj0IXHuaudj3FjVUCHOSsdDvDi1MawiKqcjnBiVEY4IIocDf/h08W3qZ"
    ),
}

FRAMES = {name: base64.b64decode(text) for name, text in _PACKED.items()}
"""The packed picture by how it is packed."""


def put_frames(dataset: Dataset, frames: list[bytes], syntax: UID) -> None:
    """Give a slice these packed frames in place of its voxels."""
    dataset.PixelRepresentation = 0
    if syntax == JPEGBaseline8Bit:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
