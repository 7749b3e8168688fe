"""Images in a file without a name: read by the page, and gone with the process however it ends."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medtranslate.data.patches import TrainingCase
from medtranslate.io.atomic import describe_failure

_LARGEST = float(np.finfo(np.float16).max)


def spill(image: Tensor, folder: Path, *, kind: type[np.generic] = np.float16) -> Tensor:
    """An image whose memory the system may take back, for it can read it again.

    Args:
        image: On the CPU; finite. What lies beyond ±65,504, as no tissue does, becomes that.
        folder: Where the file is made; it must exist.
        kind: What is stored. float16 keeps 11 bits.

    Returns:
        Same shape, ``kind``.

    Raises:
        VolumeWriteError: If the folder cannot be written to or the disk is full.
    """
    stored = np.clip(image.numpy(), -_LARGEST, _LARGEST).astype(kind)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            # Written, not stored through the map: a full disk would end the process there.
            file.write(stored.data)
            file.flush()
            mapped = np.memmap(file, dtype=kind, mode="c", shape=stored.shape)
    except OSError as error:
        raise describe_failure(folder / "patches", error, num_bytes=stored.nbytes) from error
    return torch.from_numpy(mapped)


def spill_case(case: TrainingCase, folder: Path) -> TrainingCase:
    """A training person whose images are spilled: masks as bytes, all else as float16.

    Raises:
        VolumeWriteError: As :func:`spill`.
    """
    return case.with_images(
        {
            key: spill(image, folder, kind=np.uint8 if key == "mask" else np.float16)
            for key, image in case.images.items()
        }
    )
