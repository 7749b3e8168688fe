"""What every format tells about a scan before its voxels are read."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medtranslate.errors import GeometryError, VolumeReadError
from medtranslate.geometry import Geometry

MAX_VOXELS = 2**31
"""Most voxels a scan may claim; a 1290 x 1290 x 1290 volume. Larger claims are refused unread."""


@dataclass(frozen=True, eq=False)
class ScanHeader:
    """What a file says about itself.

    Attributes:
        path: The file.
        geometry: Where its voxels lie, in the order the file stores them.
        dtype: Stored type of a voxel, for example ``int16``; scaling may make other values of it.
        shape: Full shape the file claims, with trailing dimensions of one.
        warnings: What is odd but usable, one sentence each.
        modality: What the file says it shows, as DICOM writes it: ``CT``, ``MR`` or ``PT``; None
            for formats that do not say.
        repairs: What was repaired on request, one sentence each.
    """

    path: Path
    geometry: Geometry
    dtype: str
    shape: tuple[int, ...]
    warnings: tuple[str, ...] = ()
    modality: str | None = None
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class OpenedScan:
    """A file that passed the questions about its header.

    Attributes:
        header: What the file says about itself.
        conflict: Why its position is in doubt, with what to do; None if it is not.
        decode: Reads the voxels, shape ``(i, j, k)``, scaled to their real values.
    """

    header: ScanHeader
    conflict: str | None
    decode: Callable[[], np.ndarray]


def check_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The three dimensions of a single volume.

    Raises:
        VolumeReadError: If a dimension is not positive, or there are fewer or more than three
            that matter.
    """
    text = "x".join(str(n) for n in shape)
    if len(shape) < 3:
        raise VolumeReadError(
            f"{path}: has {len(shape)} dimensions ({text}), expected a 3-D volume. Stack the slices"
            " into one volume"
        )
    if min(shape) < 1:
        raise VolumeReadError(
            f"{path}: header claims shape {text}, expected positive numbers. The header is damaged;"
            " fetch the file again"
        )
    if math.prod(shape[3:]) != 1:
        raise VolumeReadError(
            f"{path}: holds {math.prod(shape[3:])} volumes (shape {text}), expected one. Choose one"
            " and save it as a 3-D file"
        )
    return shape[0], shape[1], shape[2]


def check_size(path: Path, shape: tuple[int, ...], item_bytes: int, *, max_voxels: int) -> int:
    """Bytes the voxels need, before anything is allocated for them.

    Raises:
        VolumeReadError: If the header claims more than ``max_voxels`` or than this machine's
            memory holds.
    """
    voxels = math.prod(shape)
    if voxels > max_voxels:
        raise VolumeReadError(
            f"{path}: header claims {voxels:,} voxels ({'x'.join(map(str, shape))}), at most "
            f"{max_voxels:,} are read. The header is damaged, or the volume must be cropped first"
        )
    memory = memory_bytes()
    if voxels * item_bytes > memory:
        raise VolumeReadError(
            f"{path}: header claims {voxels * item_bytes:,} bytes of voxels, this machine has "
            f"{memory:,} bytes of memory. Crop the volume first, or read it on a larger machine"
        )
    return voxels * item_bytes


def memory_bytes() -> int:
    """How much memory this machine has; nothing read here may be larger."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_dtype(path: Path, dtype: np.dtype, *, name: str) -> None:
    """Refuse voxels that are not one real number each.

    Raises:
        VolumeReadError: For complex, colour and extended-precision voxels.
    """
    if dtype.kind == "c":
        reason = "complex numbers", "Save magnitude or phase as real numbers"
    elif dtype.names is not None:
        reason = "colours", "Save the scan itself, not a picture of it"
    elif dtype.kind not in "iuf" or dtype.itemsize not in (1, 2, 4, 8):
        reason = "numbers of a kind that is not read here", "Save it as float32"
    else:
        return
    raise VolumeReadError(
        f"{path}: voxels are {name}, that is {reason[0]}; expected one real number each."
        f" {reason[1]}"
    )


def make_geometry(path: Path, shape: tuple[int, int, int], affine: np.ndarray) -> Geometry:
    """A geometry whose errors name the file.

    Raises:
        GeometryError: As :class:`Geometry`.
    """
    try:
        with np.errstate(all="ignore"):  # what overflows is refused, not warned of
            return Geometry(shape, np.asarray(affine, dtype=np.float64))
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from error
