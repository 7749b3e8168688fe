"""DICOM that is cut, altered or made to do harm is refused by name, at bounded cost."""

from __future__ import annotations

import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, UltrasoundImageStorage

from medtranslate.errors import MedTranslateError
from medtranslate.io import read_volume, write_volume
from medtranslate.io.dicom.headers import quiet

from ...refusals import call, check_harmless, check_refused
from .conftest import enhanced, save_all, slice_headers

KILOBYTE = 1000
LAST = "IM6.dcm"


@pytest.fixture
def score(truth, tmp_path):
    """Function that has a place scored: the arguments of the call."""
    write_volume(tmp_path / "sub-1_ct.nii.gz", truth)

    def arguments(place: Path) -> tuple[object, ...]:
        return ("evaluate", "--reference", place, "--prediction", tmp_path / "sub-1_ct.nii.gz",
                "--out", tmp_path / "out")  # fmt: skip

    return arguments


@pytest.fixture
def refuse(score, tmp_path):
    """Function that has a place scored, expects a refusal that names it, and gives its words."""

    def check(place: Path) -> str:
        return check_refused(*score(place), naming=place.name, out=tmp_path / "out")

    return check


@pytest.fixture
def sound(write_series):
    """A series of six slices of two kilobytes each."""

    def enlarge(datasets):
        for ds in datasets:
            ds.add_new(0x00290010, "LO", "FILL")
            ds.add_new(0x00291000, "OB", bytes(1500))

    return write_series(enlarge)


def change(path: Path, old: bytes, new: bytes) -> None:
    """Put other bytes where ``old`` stands, once."""
    data = path.read_bytes()
    assert data.count(old) >= 1
    path.write_bytes(data.replace(old, new, 1))


def test_a_sound_series_is_scored(score, sound):
    assert call(*score(sound)).code == 0


def test_a_slice_cut_at_any_kilobyte_refuses_the_series(refuse, sound):
    data = (sound / LAST).read_bytes()
    ends = [*range(0, len(data), KILOBYTE), 1, 100, 131, 132, 140, len(data) - 1]
    assert len(ends) > 8
    for end in ends:
        (sound / LAST).write_bytes(data[:end])
        refuse(sound)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_slice_cut_anywhere_refuses_the_series(sound):
    data = (sound / LAST).read_bytes()
    for end in range(0, len(data), 7):
        (sound / LAST).write_bytes(data[:end])
        with pytest.raises(MedTranslateError, match=sound.name):
            read_volume(sound)


@pytest.mark.parametrize("name", ["IM7.dcm", "IM7"])
def test_a_file_that_may_have_been_a_slice_refuses_the_series(refuse, sound, name):
    (sound / name).write_bytes(b"")
    assert name in refuse(sound)


def test_a_slice_of_another_kind_than_its_head_says_refuses_the_series(refuse, write_series):
    def confuse(datasets):
        datasets[-1].SOPClassUID = UltrasoundImageStorage

    series = write_series(confuse)
    meta = b"1.2.840.10008.5.1.4.1.1.6.1"
    change(series / LAST, meta + b"\0", b"1.2.840.10008.5.1.4.1.1.2".ljust(28, b"\0"))
    assert LAST in refuse(series)


def test_notes_beside_a_series_do_not_refuse_it(sound, truth):
    (sound / "notes.txt").write_text("hello")
    np.testing.assert_array_equal(read_volume(sound).voxels, truth.voxels)


def check_flips(folder: Path, count: int) -> None:
    """Whatever bit is turned, the series is read or refused by name."""
    data = (folder / LAST).read_bytes()
    draw = np.random.default_rng(count)
    refused = 0
    for _ in range(count):
        changed = bytearray(data)
        changed[int(draw.integers(0, len(data)))] ^= 1 << int(draw.integers(0, 8))
        (folder / LAST).write_bytes(changed)
        try:
            assert read_volume(folder).voxels.size == 9 * 8 * 6
        except MedTranslateError as error:
            refused += folder.name in str(error)
    assert refused > count // 20


def test_a_series_with_a_flipped_bit_is_read_or_refused(write_series):
    check_flips(write_series(), 25)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_series_with_any_flipped_bit_is_read_or_refused(write_series):
    check_flips(write_series(), 1500)


def test_a_slice_that_claims_a_huge_picture_is_refused(refuse, write_series):
    def enlarge(datasets):
        for ds in datasets:
            ds.Rows = ds.Columns = 65_000

    assert "voxels" in refuse(write_series(enlarge))


def test_frames_that_are_not_there_are_refused(refuse, truth, tmp_path):
    datasets = slice_headers(truth, "MR")
    whole = enhanced(datasets)
    whole.NumberOfFrames = 2_000_000_000
    save_all(tmp_path / "frames", [whole])
    assert "describes 6 frames and claims 2000000000" in refuse(tmp_path / "frames")


def test_a_program_in_front_of_dicom_is_never_more_than_bytes(score, sound, tmp_path):
    canary = tmp_path / "canary"
    script = f"#!/bin/sh\ntouch {canary}\n".encode()
    for path in sound.iterdir():
        start = b"MZ\x90\x00" + script
        path.write_bytes(start[:128].ljust(128, b"\0") + path.read_bytes()[128:])
        path.chmod(0o755)

    ended = call(*score(sound))

    assert ended.code == 0, ended.told
    assert not canary.exists()


def nested(depth: int, *, defined: bool) -> bytes:
    """A private sequence within itself, in explicit little endian, to some depth."""
    tag = struct.pack("<HH", 0x0029, 0x1010) + b"SQ\0\0"
    if not defined:
        opened = tag + b"\xff" * 4 + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        closed = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        return opened * depth + closed * depth
    parts, length = [], 0
    for _ in range(depth):
        parts.append(tag + struct.pack("<IHHI", length + 8, 0xFFFE, 0xE000, length))
        length += 20
    return b"".join(reversed(parts))


@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("depth", [50, 200_000])
def test_sequences_within_sequences_do_no_harm(score, sound, depth, defined):
    pixels = struct.pack("<HH", 0x7FE0, 0x0010)
    for path in sound.iterdir():
        change(path, pixels, nested(depth, defined=defined) + pixels)

    ended = call(*score(sound))

    check_harmless(ended)
    assert ended.code == 0 or sound.name in ended.told


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 10**8])
def test_an_element_that_claims_more_than_the_file_is_refused(refuse, sound, length):
    element = struct.pack("<HH2sHI", 0x0029, 0x1000, b"OB", 0, 1500)
    for path in sound.iterdir():
        change(path, element, element[:8] + struct.pack("<I", length))
    assert "damaged" in refuse(sound)


def deflate(path: Path, content: bytes) -> None:
    """Make the file one whose data set is packed, and put this content in its place."""
    data = path.read_bytes()
    end = 144 + int.from_bytes(data[140:144], "little")
    meta = data[:end]
    old = b"1.2.840.10008.1.2.1\0"
    new = DeflatedExplicitVRLittleEndian.encode() + b"\0" * (
        len(DeflatedExplicitVRLittleEndian) % 2
    )
    assert old in meta
    place = meta.index(old)
    meta = meta[: place - 2] + struct.pack("<H", len(new)) + new + meta[place + len(old) :]
    meta = meta[:140] + struct.pack("<I", len(meta) - 144) + meta[144:]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    path.write_bytes(meta + packer.compress(content) + packer.flush())


def test_a_deflated_bomb_is_refused(refuse, sound):
    data = (sound / LAST).read_bytes()
    end = 144 + int.from_bytes(data[140:144], "little")
    bomb = struct.pack("<HH2sHI", 0x0029, 0x1000, b"OB", 0, 72 << 20) + bytes(72 << 20)
    deflate(sound / LAST, data[end:-12] + bomb)
    assert LAST in refuse(sound)


def test_a_deflated_series_of_nothing_but_air_is_no_bomb(sound):
    for path in sound.iterdir():
        data = path.read_bytes()
        end = 144 + int.from_bytes(data[140:144], "little")
        rest = struct.pack("<HH2sHI", 0x7FE1, 0x1000, b"OB", 0, 1 << 20) + bytes(1 << 20)
        deflate(path, data[end:] + rest)
        assert path.stat().st_size * 200 < 1 << 20
    assert read_volume(sound).voxels.shape == (9, 8, 6)


def test_a_zip_of_many_small_bombs_is_refused(refuse, sound, tmp_path):
    path = tmp_path / "study.zip"
    room = bytes(60 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sound.iterdir():
            archive.write(file, file.name)
        archive.writestr("big0.dcm", room)
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.getinfo("big0.dcm")
        # Many names for one packed file, as in the bombs that overlap.
        for number in range(1, 250):
            twin = zipfile.ZipInfo(f"big{number}.dcm")
            for name in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
                setattr(twin, name, getattr(first, name))
            archive.filelist.append(twin)
        archive._didModify = True
    assert "bombs" in refuse(path)


@pytest.mark.parametrize(
    "name", ["../IM9.dcm", "/IM9.dcm", "a/../../IM9.dcm", "C:\\IM9.dcm", "..\\IM9.dcm", "a\\..\\b"]
)
def test_a_zip_with_names_that_lead_out_writes_nothing(refuse, sound, tmp_path, name):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sound.iterdir():
            archive.write(file, file.name)
        archive.writestr(name, (sound / LAST).read_bytes())
    before = sorted(tmp_path.rglob("*"))
    refuse(path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("uid", ["../../../../evil", "/evil", "a\\b"])
def test_uids_that_look_like_paths_name_no_file(score, write_series, tmp_path, uid):
    def rename(datasets):
        for number, ds in enumerate(datasets):
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
                ds[keyword]._value = uid
            ds["SOPInstanceUID"]._value = f"{uid}{number}"

    with quiet():
        series = write_series(rename)
    ended = call(*score(series))

    check_harmless(ended)
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]


@pytest.mark.parametrize("target", ["/dev/zero", "/nowhere", "/etc/passwd"])
def test_a_slice_that_is_a_link_to_something_else_refuses_the_series(refuse, sound, target):
    (sound / LAST).unlink()
    (sound / LAST).symlink_to(target)

    assert "root:" not in refuse(sound)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_odd_dicom_file_cut_at_every_kilobyte_is_read_or_refused(shared_data, tmp_path):
    paths = [path for path in (shared_data / "odd" / "dicom").rglob("*") if path.is_file()]
    assert len(paths) > 15
    draw = np.random.default_rng(3)
    tried = 0
    for source in paths:
        data = source.read_bytes()[: 300 * KILOBYTE]
        ends = range(0, len(data), KILOBYTE)
        chosen = sorted(draw.choice(ends, min(len(ends), 30), replace=False)) if ends else []
        for end in chosen:
            folder = tmp_path / "one"
            folder.mkdir()
            (folder / "IM1.dcm").write_bytes(data[:end])
            for place in (folder, folder / "IM1.dcm"):
                try:
                    read_volume(place)
                except MedTranslateError as error:
                    tried += str(place) in str(error)
            shutil.rmtree(folder)
    assert tried > 100
