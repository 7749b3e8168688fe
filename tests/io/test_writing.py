"""What is written is read back the same, whole or not at all."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from medtranslate.errors import VolumeWriteError
from medtranslate.geometry import Geometry
from medtranslate.io import read_header, read_volume, sidecar_path, write_volume
from medtranslate.io import writing as writing_module
from medtranslate.provenance import hash_volume
from medtranslate.volume import Volume

SUFFIXES = [".nii.gz", ".nii", ".nrrd", ".mha"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_48_orientations_come_back_bit_for_bit(tmp_path, make_volume, orientation, suffix):
    volume = make_volume(orientation=orientation)
    path = tmp_path / f"a{suffix}"

    write_volume(path, volume)
    back = read_volume(path)

    np.testing.assert_array_equal(back.array, volume.array)
    np.testing.assert_allclose(back.geometry.affine, volume.geometry.affine, atol=1e-5)
    assert back.geometry.orientation == orientation
    assert names_in(tmp_path) == [path.name]


def test_nibabel_and_simpleitk_read_the_same_place(tmp_path, make_volume):
    volume = make_volume(orientation="PIR")
    write_volume(tmp_path / "a.nii.gz", volume)
    write_volume(tmp_path / "a.nrrd", volume)

    image = nibabel.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(image.get_fdata(), volume.voxels)
    np.testing.assert_allclose(image.affine, volume.geometry.affine, atol=1e-5)
    for name in ("a.nii.gz", "a.nrrd"):
        lps = sitk.ReadImage(str(tmp_path / name))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(lps), volume.voxels.T)
        corner = lps.TransformIndexToPhysicalPoint((12, 9, 6))
        expected = (volume.geometry.affine @ (12, 9, 6, 1))[:3] * (-1, -1, 1)
        np.testing.assert_allclose(corner, expected, atol=1e-4)


def test_nifti_headers_say_one_thing_once(tmp_path, make_volume):
    volume = make_volume()
    write_volume(tmp_path / "a.nii.gz", volume, description="SYNTHETIC medtranslate 0.1.0")
    header = nibabel.load(tmp_path / "a.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    np.testing.assert_allclose(header.get_sform(), header.get_qform(), atol=1e-4)
    assert header.get_xyzt_units() == ("mm", "sec")
    assert header.get_slope_inter() == (None, None) or header.get_slope_inter() == (1.0, 0.0)
    assert bytes(header["descrip"]).rstrip(b"\0") == b"SYNTHETIC medtranslate 0.1.0"
    for field in ("aux_file", "db_name", "intent_name"):
        assert bytes(header[field]).rstrip(b"\0") == b""
    assert read_header(tmp_path / "a.nii.gz").warnings == ()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_volumes_give_equal_bytes_whatever_the_name_and_the_hour(
    tmp_path, make_volume, monkeypatch, suffix
):
    write_volume(tmp_path / f"first{suffix}", make_volume())
    monkeypatch.setattr(time, "time", lambda: 2e9)
    turned = make_volume()
    turned = replace(turned, array=np.asfortranarray(turned.array))
    write_volume(tmp_path / f"second{suffix}", turned)
    first, second = (tmp_path / f"{name}{suffix}" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    if suffix == ".nii.gz":
        assert first.read_bytes()[3:8] == bytes(5)  # no name, no time


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("bool", "uint8"),
        ("int64", "int32"),
        ("float16", "float32"),
        (">i2", "int16"),
        ("float64", "float64"),
    ],
)
def test_types_without_a_counterpart_are_widened_never_narrowed(tmp_path, given, stored):
    array = (np.arange(24).reshape(1, 2, 3, 4) % 2).astype(given)
    write_volume(tmp_path / "a.nii.gz", Volume(array, Geometry((2, 3, 4), np.eye(4))))
    assert read_header(tmp_path / "a.nii.gz").dtype == stored
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").array, array)


def test_a_whole_number_type_rounds_and_refuses_what_does_not_fit(tmp_path, make_volume):
    volume = make_volume()
    write_volume(tmp_path / "a.nii.gz", volume, dtype=np.int16)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").array, np.rint(volume.array))
    with pytest.raises(ValueError, match="uint8 cannot hold"):
        write_volume(tmp_path / "b.nii.gz", volume, dtype=np.uint8)
    with pytest.raises(ValueError, match="too large for float32"):
        write_volume(
            tmp_path / "b.nii.gz",
            replace(volume, array=volume.array.astype(np.float64) * 1e300),
            dtype=np.float32,
        )
    assert names_in(tmp_path) == ["a.nii.gz"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_voxels_that_are_not_finite_are_never_written(tmp_path, make_volume, bad):
    volume = make_volume()
    array = volume.array.copy()
    array[0, 1, 2, 3] = bad
    with pytest.raises(VolumeWriteError, match="1 of 910 voxels"):
        write_volume(tmp_path / "a.nii.gz", replace(volume, array=array))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("a.mgz", {}, "expected a name with"),
        ("a", {}, "expected a name with"),
        ("a.nii", {"description": "x" * 80}, "at most 79"),
        ("a.nii", {"description": "größer"}, "ASCII"),
        ("a.nii", {"dtype": np.complex64}, "cannot be written"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    tmp_path, make_volume, name, options, reason
):
    with pytest.raises(ValueError, match=reason):
        write_volume(tmp_path / name, make_volume(), **options)
    assert names_in(tmp_path) == []


def test_several_channels_are_refused(tmp_path, make_volume):
    volume = make_volume()
    with pytest.raises(ValueError, match="2 channels"):
        write_volume(tmp_path / "a.nii", replace(volume, array=np.repeat(volume.array, 2, axis=0)))


def test_the_sidecar_lies_beside_the_volume_and_is_there_first(tmp_path, make_volume, monkeypatch):
    seen = []
    original = Path.replace

    def record(self: Path, target: Path) -> Path:
        seen.append(Path(target).name)
        return original(self, target)

    monkeypatch.setattr(Path, "replace", record)
    path = tmp_path / "new" / "sub-01_T2w.nii.gz"
    write_volume(path, make_volume(), sidecar={"Synthetic": True, "SkullStripped": False})
    assert seen == ["sub-01_T2w.json", "sub-01_T2w.nii.gz"]
    text = sidecar_path(path).read_text()
    volume = read_volume(path)
    expected = hash_volume(volume.voxels, volume.geometry.affine)
    assert json.loads(text) == {
        "Synthetic": True, "SkullStripped": False, "VoxelsSha256": expected
    }  # fmt: skip
    assert text.endswith("}\n")


def test_a_write_that_went_wrong_leaves_the_old_file_and_nothing_else(
    tmp_path, make_volume, monkeypatch
):
    path = tmp_path / "a.nii.gz"
    write_volume(path, make_volume())
    before = path.read_bytes()
    original = writing_module._write_bytes

    def damage(temporary: Path, *args: object, **options: object) -> None:
        original(temporary, *args, **options)
        data = bytearray(gzip.decompress(temporary.read_bytes()))
        data[500] ^= 1
        temporary.write_bytes(gzip.compress(data))

    monkeypatch.setattr(writing_module, "_write_bytes", damage)
    with pytest.raises(VolumeWriteError, match="differs from what was meant"):
        write_volume(path, make_volume(), sidecar={"Synthetic": True})
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["a.nii.gz"]


@pytest.fixture
def tiny_disk(tmp_path):
    """A folder on a disk of 256 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False, timeout=10)
    except OSError as error:
        pytest.skip(f"no tiny disk can be mounted here: {error}")
    if mounted.returncode != 0:
        pytest.skip(f"no tiny disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], capture_output=True, check=True, timeout=10)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_an_error_and_leaves_nothing(tiny_disk, suffix):
    noise = np.random.default_rng(0).normal(size=(1, 60, 60, 60)).astype(np.float32)
    volume = Volume(noise, Geometry((60, 60, 60), np.eye(4)))
    with pytest.raises(VolumeWriteError, match=r"a\.n?.*nothing was written under this name"):
        write_volume(tiny_disk / f"a{suffix}", volume, sidecar={"Synthetic": True})
    assert names_in(tiny_disk) == []


WRITE_FOR_EVER = """
import sys
import numpy as np
from medtranslate.geometry import Geometry
from medtranslate.io import write_volume
from medtranslate.volume import Volume

noise = np.random.default_rng(0).integers(0, 9, (1, 90, 90, 90)).astype(np.float32)
print("ready", flush=True)
for step in range(10_000):
    volume = Volume(noise + step, Geometry((90, 90, 90), np.eye(4)))
    write_volume(sys.argv[1], volume, sidecar={"step": step})
"""


def test_a_killed_writer_never_leaves_part_of_a_file_under_the_final_name(tmp_path):
    path = tmp_path / "a.nii.gz"
    for delay in (0.02, 0.11, 0.23, 0.37):
        with subprocess.Popen(
            [sys.executable, "-c", WRITE_FOR_EVER, str(path)], stdout=subprocess.PIPE
        ) as process:
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
        if path.exists():
            volume = read_volume(path)
            step = int(volume.voxels.min())
            assert volume.voxels.max() == step + 8
            assert json.loads(sidecar_path(path).read_text())["step"] in (step, step + 1)
    scans = [name for name in names_in(tmp_path) if name.endswith((".nii.gz", ".nii"))]
    assert scans in ([], ["a.nii.gz"])
    assert any(name.endswith(".tmp.gz") for name in names_in(tmp_path)) or scans
