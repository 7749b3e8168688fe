"""What is recorded of a file that was just written is what is found in it."""

import json

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.io import sidecar_path, write_volume
from medtranslate.manifest import files
from medtranslate.manifest.files import describe_file, describe_written
from medtranslate.volume import Volume


@pytest.fixture
def scan(tmp_path):
    voxels = np.random.default_rng(0).random((1, 4, 5, 6), dtype=np.float32)
    path = tmp_path / "scan.nii.gz"
    write_volume(path, Volume(voxels, Geometry((4, 5, 6), np.eye(4))), sidecar={"Synthetic": True})
    return path


def test_a_scan_is_not_read_again_where_its_sidecar_tells(scan, monkeypatch):
    expected = describe_file(scan)
    monkeypatch.setattr(files, "read_volume", lambda _: pytest.fail("read again"))

    assert describe_written(scan) == expected
    assert expected.volume_sha256 is not None


@pytest.mark.parametrize("text", [None, "{", json.dumps({"Synthetic": True})])
def test_a_scan_whose_sidecar_does_not_tell_is_read(scan, text):
    expected = describe_file(scan)
    sidecar_path(scan).unlink()
    if text is not None:
        sidecar_path(scan).write_text(text)

    assert describe_written(scan) == expected


def test_another_file_is_not_taken_for_a_scan(scan):
    assert describe_written(sidecar_path(scan)) == describe_file(sidecar_path(scan))
    assert describe_written(sidecar_path(scan)).volume_sha256 is None
