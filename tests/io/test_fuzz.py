"""Whatever bytes a file holds, it is read or refused with its name: no other error, no hang."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medtranslate.errors import MedTranslateError
from medtranslate.io import read_header, read_volume

SUFFIXES = [".nii", ".nii.gz", ".mgh", ".mgz", ".nrrd", ".mha"]
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4
)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One small sound file of each kind."""
    folder = tmp_path_factory.mktemp("honest")
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    contents = {}
    for suffix in SUFFIXES:
        path = folder / f"a{suffix}"
        if suffix.startswith(".n") and suffix != ".nrrd":
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)
        elif suffix.startswith(".mg"):
            nibabel.save(nibabel.MGHImage(voxels, np.eye(4)), path)
        else:
            sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
        assert read_volume(path).array.size == 60
        contents[suffix] = path.read_bytes()
    return contents


def refusal(read: Callable[[Path], object], path: Path) -> str | None:
    """Why a file is refused, None if it is read; any other error passes through."""
    try:
        read(path)
    except MedTranslateError as error:
        return str(error)
    return None


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(changes=CHANGES, end=st.floats(0.2, 2.0))
@settings(
    max_examples=120,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_altered_and_shortened_files_are_read_or_refused_by_name(
    tmp_path: Path, honest: dict[str, bytes], suffix: str, changes, end: float
) -> None:
    data = bytearray(honest[suffix])
    for where, what in changes:
        start = int(where * len(data))
        data[start : start + len(what)] = what
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data[: int(len(data) * end)])
    for read in (read_header, read_volume):
        assert str(path) in (refusal(read, path) or str(path))
