"""Fingerprints change when the scan does, and only then."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import medtranslate
from medtranslate.io import read_volume, write_volume
from medtranslate.provenance import (
    describe_run,
    git_commit,
    hash_bytes,
    hash_file,
    hash_json,
    hash_volume,
    software_versions,
)


def test_bytes_and_files_are_hashed_by_sha256(tmp_path):
    data = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert hash_bytes(data) == expected
    assert hash_file(tmp_path / "a") == expected


def test_a_volume_hash_is_what_its_description_says(make_volume):
    volume = make_volume()
    expected = hashlib.sha256(b"f4 (13, 10, 7)\n")
    expected.update(volume.voxels.astype("<f4").tobytes(order="C"))
    expected.update(np.round(volume.geometry.affine, 5).astype("<f8").tobytes())
    assert hash_volume(volume.voxels, volume.geometry.affine) == expected.hexdigest()


def test_layout_byte_order_and_rounding_of_the_place_do_not_matter(make_volume):
    volume = make_volume()
    voxels, affine = volume.voxels, volume.geometry.affine
    expected = hash_volume(voxels, affine)
    assert hash_volume(np.asfortranarray(voxels), affine) == expected
    assert hash_volume(voxels.astype(">f4"), affine) == expected
    assert hash_volume(voxels, affine + 1e-9) == expected
    assert hash_volume(np.repeat(voxels, 2, axis=0)[::2], affine) == expected
    minus_zero = np.eye(4)
    minus_zero[0, 1] = -0.0
    assert hash_volume(voxels, minus_zero) == hash_volume(voxels, np.eye(4))


def test_every_voxel_the_type_the_shape_and_the_place_matter(make_volume):
    volume = make_volume()
    voxels, affine = volume.voxels, volume.geometry.affine
    changed = voxels.copy()
    changed[3, 4, 5] = np.nextafter(changed[3, 4, 5], np.float32(1e9))
    moved = affine.copy()
    moved[0, 3] += 1e-3
    hashes = [
        hash_volume(voxels, affine),
        hash_volume(changed, affine),
        hash_volume(voxels, moved),
        hash_volume(voxels.astype(np.float64), affine),
        hash_volume(voxels.reshape(10, 13, 7), affine),
        hash_volume(voxels[::-1], affine),
    ]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_the_hash_survives_every_container(tmp_path, make_volume, suffix):
    volume = make_volume()
    write_volume(tmp_path / f"a{suffix}", volume)
    back = read_volume(tmp_path / f"a{suffix}")
    write_volume(tmp_path / f"b{suffix}", back)
    again = read_volume(tmp_path / f"b{suffix}")
    assert hash_volume(back.voxels, back.geometry.affine) == hash_volume(
        again.voxels, again.geometry.affine
    )


def test_what_is_no_number_has_no_hash():
    with pytest.raises(ValueError, match="plain numbers"):
        hash_volume(np.array([["a"]]), np.eye(4))


def test_json_hashes_ignore_the_order_of_keys_but_not_of_lists():
    assert hash_json({"a": 1, "b": [1, 2]}) == hash_json({"b": [1, 2], "a": 1})
    assert hash_json([1, 2]) != hash_json([2, 1])
    assert hash_json({"ä": 1.5}) == hashlib.sha256(b'{"\\u00e4":1.5}').hexdigest()
    with pytest.raises(ValueError, match="JSON"):
        hash_json(float("nan"))


def test_versions_are_told_without_importing_the_libraries():
    code = (
        "import sys; from medtranslate.provenance import software_versions as s; v = s();"
        "print(v['monai'], *[name in sys.modules for name in ('monai', 'torch', 'SimpleITK')])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert output == [software_versions()["monai"], "False", "False", "False"]
    assert software_versions()["medtranslate"] == medtranslate.__version__
    assert software_versions()["numpy"] == np.__version__


def make_repository(folder):
    """A checkout with the package's place in it and one commit; returns the commit."""
    (folder / "medtranslate").mkdir(parents=True)
    (folder / "medtranslate" / "__init__.py").write_text("")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    try:
        for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
            subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    except OSError:
        pytest.skip("git is absent")
    head = ["git", "rev-parse", "HEAD"]
    return subprocess.run(
        head, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.parametrize(("text", "end"), [("", ""), ("changed = True\n", "-dirty")])
def test_the_commit_is_that_of_the_packages_own_checkout(text, end, tmp_path, monkeypatch):
    commit = make_repository(tmp_path / "own")
    package = tmp_path / "own" / "medtranslate" / "__init__.py"
    package.write_text(text)
    monkeypatch.setattr(medtranslate, "__file__", str(package))

    assert git_commit() == commit + end


def test_a_commit_made_while_a_process_runs_is_not_what_runs(tmp_path, monkeypatch):
    commit = make_repository(tmp_path / "own")
    package = tmp_path / "own" / "medtranslate" / "__init__.py"
    monkeypatch.setattr(medtranslate, "__file__", str(package))
    assert git_commit() == commit

    package.write_text("changed = True\n")

    assert git_commit() == commit


def test_a_package_inside_somebody_elses_checkout_has_no_commit(tmp_path, monkeypatch):
    make_repository(tmp_path / "other")
    installed = tmp_path / "other" / "site-packages" / "medtranslate" / "__init__.py"
    installed.parent.mkdir(parents=True)
    monkeypatch.setattr(medtranslate, "__file__", str(installed))
    monkeypatch.chdir(tmp_path / "other")
    assert git_commit() is None


def test_a_run_is_described_in_plain_data():
    record = describe_run(["medtranslate", "run", "my file.yaml"], seed=3)
    assert json.loads(json.dumps(record)) == record
    assert record["command"] == "medtranslate run 'my file.yaml'"
    assert record["seed"] == 3
    assert record["versions"] == software_versions()
    age = datetime.now(UTC) - datetime.fromisoformat(record["time_utc"])
    assert timedelta(seconds=-2) < age < timedelta(minutes=1)
    assert describe_run("as typed")["command"] == "as typed"
