"""What packed frames claim is read, and compared with their header, before they are unpacked."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless

from medtranslate.errors import DicomError
from medtranslate.io import read_volume
from medtranslate.io.dicom.packed import FrameClaim, read_jpeg, read_jpeg2000

from ...refusals import check_refused
from .conftest import enhanced, save_all, slice_headers
from .packed_frames import FRAMES, PICTURE, SYNTAXES, put_frames

JPEGS = [name for name in FRAMES if name != "rle"]


def claim(kind: str, rows: int, columns: int, *, samples: int = 1, bits: int | None = None):
    """The packed picture with other numbers in its head."""
    data = bytearray(FRAMES[kind])
    if kind == "jpeg-2000":
        struct.pack_into(">II", data, 8, columns, rows)
        struct.pack_into(">II", data, 24, columns, rows)  # as one tile
        struct.pack_into(">H", data, 40, samples)
        data[42] = data[42] if bits is None else bits - 1
    else:
        place = next(data.index(bytes((0xFF, n))) for n in (0xC0, 0xC3, 0xF7) if n in data[:200])
        data[place + 4] = data[place + 4] if bits is None else bits
        struct.pack_into(">HHB", data, place + 5, rows, columns, samples)
    return bytes(data)


@pytest.fixture
def pack(write_series):
    """Function that writes a series whose every slice has these packed frames."""

    def write(kind: str, *frames: bytes, **changes: int):
        def edit(datasets):
            for ds in datasets:
                put_frames(ds, list(frames), SYNTAXES[kind])
                for keyword, value in changes.items():
                    setattr(ds, keyword, value)

        return write_series(edit)

    return write


@pytest.fixture
def refuse(tmp_path):
    """Function that has a place inspected for errors and gives the words of its refusal."""

    def check(place):
        return check_refused("evaluate", "--reference", place, "--prediction", place,
                             "--out", tmp_path / "out", naming=place.name)  # fmt: skip

    return check


@pytest.mark.parametrize("kind", FRAMES)
def test_a_packed_picture_is_unpacked_where_it_is_what_it_claims(pack, kind):
    expected = PICTURE % 256 if kind == "jpeg" else PICTURE
    found = read_volume(pack(kind, FRAMES[kind])).voxels[:, :, 2].T
    np.testing.assert_allclose(found, expected, atol=4 if kind == "jpeg" else 0)


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("size", [(60_000, 60_000), (9, 8), (8, 10), (0, 0)])
def test_a_picture_of_another_size_than_the_header_claims_is_refused(pack, refuse, kind, size):
    told = refuse(pack(kind, claim(kind, *size)))
    assert f"packed as {size[0]} x {size[1]} x 1" in told
    assert "claims 8 x 9 x 1" in told


@pytest.mark.parametrize("kind", JPEGS)
def test_a_picture_of_more_samples_than_the_header_claims_is_refused(pack, kind):
    with pytest.raises(DicomError, match="packed as 8 x 9 x 3"):
        read_volume(pack(kind, claim(kind, 8, 9, samples=3)))


@pytest.mark.parametrize(("kind", "bits"), [("jpeg", 12), ("jpeg", 16), ("jpeg-2000", 24)])
def test_a_picture_of_more_bits_than_the_header_claims_is_refused(pack, kind, bits):
    with pytest.raises(DicomError, match=f"of {bits} bits, its header claims 8 x 9 x 1 of"):
        read_volume(pack(kind, claim(kind, 8, 9, bits=bits)))


@pytest.mark.parametrize("kind", JPEGS)
def test_a_head_and_a_header_that_agree_on_a_bomb_are_refused(pack, refuse, kind):
    bomb = claim(kind, 9_000, 9_000)
    assert "packed ones" in refuse(pack(kind, bomb, Rows=9_000, Columns=9_000))


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("length", [1, 4, 8, 10])
def test_a_frame_that_ends_in_its_head_is_refused(pack, kind, length):
    with pytest.raises(DicomError, match=r"IM1.dcm: .*do not say what they are"):
        read_volume(pack(kind, FRAMES[kind][:length]))


def test_the_head_is_found_behind_other_segments_and_fill_bytes():
    frame = FRAMES["jpeg"]
    before = b"\xff\xe0\x00\x06ab\xff\xc0" + b"\xff\xff\xff\xfe\x00\x04cd"  # no head within
    assert read_jpeg(frame[:2] + before + frame[2:]) == FrameClaim(8, 9, 1, 8)
    assert read_jpeg(frame[:2] + b"ab" + frame[2:]) is None
    assert read_jpeg(b"\xff\xd8" + b"\xff" * 100) is None


def test_the_head_is_found_in_the_boxes_that_jpeg_2000_may_lie_in():
    frame, start = FRAMES["jpeg-2000"], b"\0\0\0\x0cjP  \r\n\x87\n"
    box = struct.pack(">I4s", 16, b"jp2h") + frame[:8]
    boxes = start + box + struct.pack(">I4s", 0, b"jp2c")
    assert read_jpeg2000(boxes + frame) == FrameClaim(8, 9, 1, 16)
    assert read_jpeg2000(start + struct.pack(">I4s", 0, b"jp2h") + frame) is None
    assert read_jpeg2000(start + box) is None


def test_a_picture_that_begins_elsewhere_or_is_thinned_out_is_known_by_its_true_size():
    frame = bytearray(FRAMES["jpeg-2000"])
    struct.pack_into(">II", frame, 16, 4, 3)
    assert read_jpeg2000(bytes(frame)) == FrameClaim(5, 5, 1, 16)
    frame[43] = 2
    assert read_jpeg2000(bytes(frame)) is None


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0, 15, "packed in 15 segments, expected 2"),
        (0, 0, "packed in 0 segments"),
        (0, 2**32 - 1, "segments"),
        (4, 0, "lie where they cannot"),
        (4, 120, "lie where they cannot"),
        (8, 2**32 - 1, "lie where they cannot"),
        (8, 64, "lie where they cannot"),
    ],
)
def test_segments_that_lie_where_they_cannot_are_refused(pack, place, value, words):
    frame = bytearray(FRAMES["rle"])
    struct.pack_into("<L", frame, place, value)
    with pytest.raises(DicomError, match=words):
        read_volume(pack("rle", bytes(frame)))


def test_segments_that_unpack_to_far_more_than_the_picture_are_refused(pack, refuse):
    assert "lie where they cannot" in refuse(pack("rle", FRAMES["rle"] + b"\x81\x00" * (4 << 20)))


@pytest.fixture
def frames(truth):
    """A file of six packed frames."""
    whole = enhanced(slice_headers(truth, "MR"))
    whole.compress(RLELossless, generate_instance_uid=False)
    return whole


def test_frames_that_are_not_all_there_are_counted(frames, tmp_path):
    put_frames(frames, [FRAMES["rle"]] * 5, RLELossless)
    with pytest.raises(DicomError, match="5 of 6 frames"):
        read_volume(save_all(tmp_path / "whole", [frames]))


def test_frames_that_the_header_does_not_count_are_not_unpacked(frames, tmp_path):
    put_frames(frames, [FRAMES["rle"]] * 6 + [b"no frame"] * 2, RLELossless)
    volume = read_volume(save_all(tmp_path / "whole", [frames]))
    assert volume.voxels.shape == (9, 8, 6)


def test_frames_that_lie_over_each_other_are_refused(frames, tmp_path):
    put_frames(frames, [FRAMES["jpeg-ls"]] * 6, JPEGLSLossless)
    length = len(frames.PixelData) - 40
    frames.add_new("ExtendedOffsetTable", "OV", struct.pack("<6Q", *[0] * 6))
    frames.add_new("ExtendedOffsetTableLengths", "OV", struct.pack("<6Q", *[length] * 6))
    with pytest.raises(DicomError, match="over each other"):
        read_volume(save_all(tmp_path / "whole", [frames]))
