"""Unpack lossless JPEG in a process of its own: some damaged frames end the one GDCM runs in.

Bytes go there and back through pipes: a line of JSON and a frame, then a count and voxels.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import UID, JPEGLossless, JPEGLosslessSV1

from medtranslate.io.dicom.headers import PARSE_FAILURES, quiet
from medtranslate.io.dicom.packed import split_frames
from medtranslate.io.documents import parse_document

APART = (JPEGLossless, JPEGLosslessSV1)
"""What is unpacked in a process of its own."""

_OPTIONS = (
    "rows", "columns", "samples_per_pixel", "photometric_interpretation", "bits_allocated",
    "bits_stored", "pixel_representation",
)  # fmt: skip
PATIENCE_SECONDS = 60.0
"""Longest time for one frame, the start of the process included."""

_COUNT_BYTES = 8
_TYPE = "<i4"
"""Holds every value of lossless JPEG, which has 16 bits at most."""


class _Worker:
    """A process that unpacks frames; started when it is needed, and again after it died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def unpack(self, frame: bytes, asked: dict[str, Any]) -> bytes:
        """Voxels of a frame; nothing if it cannot be unpacked, or ended or held up the process."""
        with self._lock:
            process = self._start()
            impatience = threading.Timer(PATIENCE_SECONDS, process.kill)
            impatience.start()
            try:
                voxels = _exchange(process, json.dumps(asked).encode() + b"\n" + frame)
            finally:
                impatience.cancel()
            if voxels is None:
                self._forget()
            return voxels or b""

    def _start(self) -> Any:  # Any: a Popen whose pipes are there, which its type leaves open
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._forget()
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],  # -P: no module out of the working folder
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process

    def _forget(self) -> None:
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.communicate()
        self._process = None

    def stop(self) -> None:
        """End the process, if it is one of this program's."""
        with self._lock:
            self._forget()


def _exchange(process: Any, sent: bytes) -> bytes | None:
    """What comes back for what is sent; None if the process does not answer any more."""
    try:
        process.stdin.write(sent)
        process.stdin.flush()
        head = process.stdout.read(_COUNT_BYTES)
        if len(head) == _COUNT_BYTES:
            return bytes(process.stdout.read(int.from_bytes(head, "big")))
    except OSError:
        pass
    return None


_WORKER = _Worker()
atexit.register(_WORKER.stop)


def unpack_apart(dataset: Dataset, syntax: UID) -> np.ndarray:
    """Stored values of every frame, shape ``(n, j, i)``.

    Raises:
        ValueError: If a frame cannot be unpacked.
    """
    options = as_pixel_options(dataset)
    asked = {key: options[key] for key in _OPTIONS} | {"syntax": str(syntax)}
    shape = (dataset.Rows, dataset.Columns)
    frames = []
    for frame in split_frames(dataset):
        voxels = _WORKER.unpack(frame, asked | {"length": len(frame)})
        frames.append(np.frombuffer(voxels, _TYPE).reshape(shape))
    return np.stack(frames)


def serve() -> None:
    """Unpack what comes in until nothing does."""
    given, told = sys.stdin.buffer, sys.stdout.buffer
    while line := given.readline():
        asked = parse_document(line)
        frame = given.read(asked.pop("length"))
        try:
            with quiet():
                voxels = _unpack(frame, **asked)
        except PARSE_FAILURES:
            voxels = b""
        told.write(len(voxels).to_bytes(_COUNT_BYTES, "big") + voxels)
        told.flush()


def _unpack(frame: bytes, *, syntax: str, **options: Any) -> bytes:
    options |= {"number_of_frames": 1, "pixel_keyword": "PixelData"}
    array, _ = get_decoder(UID(syntax)).as_array(encapsulate([frame]), raw=True, **options)
    return array.astype(_TYPE).tobytes()


if __name__ == "__main__":
    serve()
