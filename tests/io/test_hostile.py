"""Scans that are cut, altered or made to do harm are refused by name, at bounded cost."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from nibabel.nifti1 import Nifti1Extension

from medtranslate.errors import MedTranslateError
from medtranslate.io import read_volume
from medtranslate.io.marks import read_header_texts

from ..refusals import call, check_refused

SHAPE = (24, 22, 20)
SUFFIXES = [".nii", ".nii.gz", ".mgh", ".mgz", ".nrrd", ".mha"]
KILOBYTE = 1000
FEW = 8
"""How many of a long row of cases the fast tests try."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound scan to score against."""
    return write_scan(tmp_path_factory.mktemp("reference") / "sub-1_T2w.nii.gz")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> dict[str, bytes]:
    """The bytes of one sound scan of each format; one of them was scored without complaint."""
    folder = tmp_path_factory.mktemp("honest")
    paths = {suffix: write_scan(folder / f"scan{suffix}") for suffix in SUFFIXES}
    assert {read_volume(path).voxels.size for path in paths.values()} == {24 * 22 * 20}
    ended = call("evaluate", "--reference", reference, "--prediction", paths[".mha"],
                 "--out", folder / "out")  # fmt: skip
    assert ended.code == 0, ended.told
    return {suffix: path.read_bytes() for suffix, path in paths.items()}


def write_scan(path: Path) -> Path:
    """Noise that no format packs well, so that every kilobyte of the file counts."""
    voxels = np.random.default_rng(5).integers(1, 3000, SHAPE).astype(np.int16)
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    if ".nii" in path.name:
        nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    elif ".mg" in path.name:
        nibabel.save(nibabel.MGHImage(voxels.astype(np.int16), affine), path)
    else:
        image = sitk.GetImageFromArray(voxels.T)
        image.SetSpacing((1.0, 1.0, 2.0))
        image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
        sitk.WriteImage(image, str(path), useCompression=path.suffix == ".nrrd")
    return path


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """64 GB of zeros, packed in 4 MB."""
    room = gzip.compress(bytes(16 << 20))
    assert len(zlib.decompressobj(wbits=31).decompress(room)) == 16 << 20
    assert len(room) < 20_000
    return room * 4000


@pytest.fixture
def refuse(reference: Path, tmp_path: Path) -> Callable[[Path], str]:
    """Function that has a file scored, expects a refusal that names it, and gives its words."""

    def check(path: Path) -> str:
        out = tmp_path / "out"
        return check_refused("evaluate", "--reference", reference, "--prediction", path,
                             "--out", out, naming=path.name, out=out)  # fmt: skip

    return check


def sample(cases: range, count: int) -> list[int]:
    """The first, the last, and some between."""
    places = np.linspace(0, len(cases) - 1, min(count, len(cases))).astype(int)
    return [cases[place] for place in places]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_scan_cut_at_some_kilobytes_is_refused(honest, refuse, tmp_path, suffix):
    ends = range(0, len(honest[suffix]), KILOBYTE)
    assert len(ends) > 15
    for end in sample(ends, FEW):
        path = tmp_path / f"scan{suffix}"
        path.write_bytes(honest[suffix][:end])
        refuse(path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_scan_cut_anywhere_is_refused(honest, tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    data = honest[suffix]
    if suffix == ".mgh":  # what follows the voxels says how the scan was acquired, and may lack
        data = data[: 284 + 2 * math.prod(SHAPE)]
    for end in {*range(0, len(data), 100), *range(600), *range(len(data) - 200, len(data))}:
        path.write_bytes(data[:end])
        with pytest.raises(MedTranslateError, match=path.name):
            read_volume(path)


def refusal(path: Path) -> str | None:
    """Why a scan is refused, None if it is read; any other error passes through."""
    try:
        read_volume(path)
    except MedTranslateError as error:
        return str(error)
    return None


def flips(data: bytes, count: int, seed: int) -> list[bytes]:
    """Copies with one bit turned, half of them within the first 600 bytes, where headers are."""
    draw = np.random.default_rng(seed)
    copies = []
    for number in range(count):
        place = int(draw.integers(0, 600 if number % 2 else len(data)))
        changed = bytearray(data)
        changed[place] ^= 1 << int(draw.integers(0, 8))
        copies.append(bytes(changed))
    return copies


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_scan_with_a_flipped_bit_is_scored_or_refused(honest, reference, tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    for data in flips(honest[suffix], 10, seed=1):
        path.write_bytes(data)
        if refusal(path) is not None:
            check_refused("evaluate", "--reference", reference, "--prediction", path,
                          "--out", tmp_path / "out", naming=path.name)  # fmt: skip


@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz", ".nrrd"])
def test_a_flipped_bit_in_packed_voxels_is_found(honest, tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    changed = bytearray(honest[suffix])
    changed[len(changed) * 3 // 4] ^= 4
    path.write_bytes(changed)
    with pytest.raises(MedTranslateError, match=path.name):
        read_volume(path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_scan_with_any_flipped_bit_is_read_or_refused(honest, reference, tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    refused = 0
    for data in flips(honest[suffix], 4000, seed=2):
        path.write_bytes(data)
        refused += refusal(path) is not None
    assert refused > 50


def huge_nifti(path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header["dim"][:4] = (3, 10_000, 10_000, 10_000)
    header["magic"], header["vox_offset"] = b"n+1", 352
    header.set_sform(np.eye(4), 1)
    path.write_bytes(header.binaryblock + bytes(1000))


def huge_nifti2(path: Path) -> None:
    header = nibabel.Nifti2Header()
    header.set_data_dtype(np.int16)
    header["dim"][:4] = (3, 2**62, 2**40, 2**40)
    header["vox_offset"] = 544
    header["magic"] = b"n+2"
    header["eol_check"] = (13, 10, 26, 10)
    header.set_sform(np.eye(4), 1)
    path.write_bytes(header.binaryblock + bytes(1000))


def huge_mgh(path: Path) -> None:
    path.write_bytes(struct.pack(">5i", 1, 10_000, 10_000, 10_000, 1).ljust(1284, b"\0"))


def huge_nrrd(path: Path) -> None:
    path.write_text(
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\n"
        "sizes: 10000 10000 10000\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
        "endian: little\nencoding: raw\nspace origin: (0,0,0)\n\n" + "x" * 1000
    )


def huge_mha(path: Path) -> None:
    path.write_text(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        "CompressedData = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
        "ElementSpacing = 1 1 1\nDimSize = 10000 10000 10000\nElementType = MET_SHORT\n"
        "ElementDataFile = LOCAL\n" + "x" * 1000
    )


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("scan.nii", huge_nifti),
        ("scan2.nii", huge_nifti2),
        ("scan.mgh", huge_mgh),
        ("scan.nrrd", huge_nrrd),
        ("scan.mha", huge_mha),
    ],
)
def test_a_header_that_claims_a_trillion_voxels_is_refused(refuse, tmp_path, name, write):
    write(tmp_path / name)
    assert "voxels" in refuse(tmp_path / name)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz"])
def test_a_gzip_bomb_is_refused_while_it_unpacks(honest, bomb, refuse, tmp_path, suffix):
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(honest[suffix] + bomb)

    assert "holds more than" in refuse(path)


def test_a_gzip_bomb_in_front_of_the_header_is_refused(bomb, refuse, tmp_path):
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(bomb)

    assert "expected NIfTI" in refuse(path)


def test_a_bomb_inside_nrrd_is_refused_while_it_unpacks(honest, refuse, tmp_path):
    path = tmp_path / "bomb.nrrd"
    head, _, _ = honest[".nrrd"].partition(b"\n\n")
    path.write_bytes(head + b"\n\n" + gzip.compress(bytes(32 << 20)))

    assert "holds more than" in refuse(path)


def extended(path: Path, size: int, *, offset: int | None = None) -> Path:
    """A sound NIfTI file with an extension that claims to have ``size`` bytes."""
    write_scan(path)
    image = nibabel.load(path)
    image = nibabel.Nifti1Image(np.asanyarray(image.dataobj), image.affine)
    image.header.extensions.append(Nifti1Extension(6, b"x" * 24))
    data = bytearray(image.to_bytes())
    assert data[348] == 1
    struct.pack_into("<i", data, 352, size)
    if offset is not None:
        struct.pack_into("<f", data, 108, offset)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("size", [0, 1, 7, 15, 2**31 - 1, -1, -(2**31), 16, 10**6])
def test_an_extension_of_a_wrong_length_does_no_harm(tmp_path, size):
    path = extended(tmp_path / "scan.nii", size)

    np.testing.assert_array_equal(
        read_volume(path).voxels, read_volume(write_scan(tmp_path / "sound.nii")).voxels
    )
    assert read_header_texts(path).find_mark() is None


@pytest.mark.parametrize("offset", [0, 1, 351, 2**30, 1e30, float("nan"), float("inf"), -352])
def test_voxels_that_begin_at_an_impossible_byte_are_refused(refuse, tmp_path, offset):
    told = refuse(extended(tmp_path / "scan.nii", 32, offset=offset))
    assert "expected 352 or more" in told


@pytest.mark.parametrize("name", ["../secret.raw", "/etc/passwd", "a/../../secret.raw", "..", "%s"])
@pytest.mark.parametrize("kind", ["mhd", "nhdr"])
def test_a_header_that_names_voxels_elsewhere_is_refused(refuse, tmp_path, name, kind):
    (tmp_path / "secret.raw").write_bytes(bytes(2 * 10**3))
    folder = tmp_path / "given"
    folder.mkdir()
    path = folder / f"scan.{kind}"
    if kind == "mhd":
        huge_mha(path)
        text = path.read_text().partition("ElementDataFile")[0] + f"ElementDataFile = {name}\n"
    else:
        huge_nrrd(path)
        text = path.read_text().partition("\n\n")[0] + f"\ndata file: {name}\n"
    path.write_text(text.replace("10000 10000 10000", "10 10 10"))

    assert "root:" not in refuse(path)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.mha", "scan.nrrd", "scan.mgz"])
@pytest.mark.timeout(60)
def test_pipes_devices_and_links_to_them_are_not_waited_for(refuse, tmp_path, name):
    os.mkfifo(tmp_path / name)
    assert "is not a regular file" in refuse(tmp_path / name)
    (tmp_path / name).unlink()
    absent = "no such file"
    for target, why in {
        "/dev/zero": "is not a regular file", "/nowhere": absent, tmp_path / name: absent
    }.items():  # fmt: skip
        (tmp_path / name).symlink_to(target)
        assert why in refuse(tmp_path / name)
        (tmp_path / name).unlink()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_odd_file_cut_at_every_kilobyte_is_read_or_refused(shared_data, tmp_path):
    paths = [path for path in (shared_data / "odd").rglob("*") if path.is_file()]
    assert len(paths) > 30
    for source in paths:
        data = source.read_bytes()[: 400 * KILOBYTE]
        copy = tmp_path / source.name
        for end in range(0, len(data), KILOBYTE):
            copy.write_bytes(data[:end])
            assert copy.name in (refusal(copy) or copy.name)
        copy.unlink(missing_ok=True)
