"""A frame on which the decoder dies costs its series, not the program."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from pydicom.uid import JPEGLosslessSV1

from medtranslate.errors import DicomError
from medtranslate.io import read_volume
from medtranslate.io.dicom import unpacking

from .packed_frames import FRAMES, PICTURE, put_frames

DEADLY = base64.b64decode(
    "/9j/wwALEAAIAAkBAREA/8QAFgABAQEAAAAAAAAAAAAAAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFAAAABQAAAAUAAAAFCRD/2gAIAQEAAQAAz77777779F333333336Lvvvvvvvv0Xffffffffou+++++++/Rd9999999+i777777779F33333333//ZAA=="
)
"""GDCM 3.2.6 ends the process in which it unpacks this."""


@pytest.fixture
def write_packed(write_series):
    """Function that writes a series, its third slice as given."""

    def write(third: bytes, folder: str):
        def pack(datasets):
            for number, ds in enumerate(datasets):
                frame = third if number == 2 else FRAMES["jpeg-lossless"]
                put_frames(ds, [frame], JPEGLosslessSV1)

        return write_series(pack, folder=folder)

    return write


def test_a_frame_on_which_the_decoder_dies_is_refused_and_the_next_series_read(write_packed):
    bad = write_packed(DEADLY, "bad")
    for _ in range(2):
        with pytest.raises(DicomError, match="IM3.dcm: its pixel data cannot be decoded"):
            read_volume(bad)
    good = read_volume(write_packed(FRAMES["jpeg-lossless"], "good"))
    np.testing.assert_array_equal(good.voxels[:, :, 2].T, PICTURE)


def test_no_module_is_taken_from_the_working_folder(write_packed, tmp_path, monkeypatch):
    unpacking._WORKER.stop()
    (tmp_path / "numpy.py").write_text("open('canary', 'w')")
    monkeypatch.chdir(tmp_path)
    read_volume(write_packed(FRAMES["jpeg-lossless"], "good"))
    assert not (tmp_path / "canary").exists()


def test_a_frame_that_holds_the_decoder_up_is_given_up(write_packed, monkeypatch):
    monkeypatch.setattr(unpacking, "PATIENCE_SECONDS", 0.3)
    waits_for_more = {"length": 100, "syntax": str(JPEGLosslessSV1)}
    assert unpacking._WORKER.unpack(b"cut off", waits_for_more) == b""

    monkeypatch.undo()
    good = read_volume(write_packed(FRAMES["jpeg-lossless"], "good"))
    np.testing.assert_array_equal(good.voxels[:, :, 2].T, PICTURE)
