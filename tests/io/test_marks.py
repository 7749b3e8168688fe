"""The mark in a NIfTI header, checked against nibabel's own reading of extensions."""

import gzip
import json
import struct

import nibabel
import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.io import read_volume, write_volume
from medtranslate.io.marks import read_header_texts
from medtranslate.volume import Volume

MARK = {"Synthetic": True, "ModelSha256": "ab" * 32, "Pipeline": "toy"}


@pytest.fixture(params=[".nii", ".nii.gz"])
def marked(request, tmp_path):
    path = tmp_path / f"a{request.param}"
    voxels = np.arange(60, dtype=np.float32).reshape(1, 3, 4, 5)
    volume = Volume(voxels, Geometry((3, 4, 5), np.diag([1.0, 2, 3, 1])))
    write_volume(path, volume, description="SYNTHETIC words", mark=MARK)
    return path


def test_nibabel_finds_the_mark_and_the_voxels(marked):
    image = nibabel.load(marked)
    (extension,) = image.header.extensions
    assert extension.get_code() == 6
    assert json.loads(extension.get_content().rstrip(b"\0")) == MARK
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).ravel(), np.arange(60))
    np.testing.assert_array_equal(read_volume(marked).voxels.ravel(), np.arange(60))


def test_the_mark_survives_nibabel_writing_the_file_again(marked, tmp_path):
    again = tmp_path / "again.nii.gz"
    nibabel.save(nibabel.load(marked), again)
    texts = read_header_texts(again)
    assert texts.find_mark() == MARK
    assert texts.description == "SYNTHETIC words"


def test_a_comment_that_is_no_mark_is_passed_over(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    for text in (b"{nonsense", b"[" * 100_000, b'{"Synthetic": false}', b"plain words"):
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(6, text))
    nibabel.save(image, tmp_path / "a.nii")
    texts = read_header_texts(tmp_path / "a.nii")
    assert texts.find_mark() is None
    assert [len(comment) for comment in texts.comments] == [9, 100_000, 20, 11]


@pytest.mark.parametrize("size", [-16, 0, 15, 2**30])
def test_a_wrong_length_ends_the_walk(marked, size):
    packed = marked.suffix == ".gz"
    data = bytearray(gzip.decompress(marked.read_bytes()) if packed else marked.read_bytes())
    struct.pack_into("<i", data, 352, size)
    marked.write_bytes(gzip.compress(data) if packed else data)
    assert read_header_texts(marked).comments == ()


def test_what_is_not_nifti_has_no_texts(tmp_path):
    (tmp_path / "a.nii").write_bytes(bytes(400))
    assert read_header_texts(tmp_path / "a.nii") == type(read_header_texts(tmp_path / "a.nii"))(
        "", ()
    )
