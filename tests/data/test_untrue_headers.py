"""Headers that cannot be true are told of before anything is learned from them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from medtranslate.data.untrue_headers import warn_of_untrue_headers
from medtranslate.geometry import Geometry
from medtranslate.io import write_volume
from medtranslate.volume import Volume


@dataclass(frozen=True)
class _Case:
    subject: str
    images: tuple[Path, ...]


def _write(path, shape, spacing):
    affine = np.diag([*spacing, 1.0])
    write_volume(path, Volume(np.ones((1, *shape), np.float32), Geometry(shape, affine)))
    return path


@pytest.mark.parametrize(
    ("shape", "spacing", "told"),
    [
        ((64, 64, 8), (1.0, 1.0, 1.0), "header cannot be true: 64×64×8 cubes of 1 mm"),
        ((64, 64, 8), (1.0, 1.0, 6.0), None),
        ((40, 44, 40), (4.0, 4.0, 4.0), None),
        ((40, 44, 40), (400.0, 400.0, 400.0), "which is no person"),
    ],
)
def test_a_header_that_cannot_be_true_is_told(shape, spacing, told, tmp_path, caplog):
    case = _Case("one", (_write(tmp_path / "one.nii.gz", shape, spacing),))

    warn_of_untrue_headers([case])

    assert bool(caplog.text) == bool(told)
    if told:
        assert told in caplog.text
        assert "one.nii.gz" in caplog.text


def test_many_are_told_in_one_line(tmp_path, caplog):
    paths = [_write(tmp_path / f"{n}.nii.gz", (64, 64, 8), (1.0, 1.0, 1.0)) for n in range(3)]

    warn_of_untrue_headers([_Case("one", tuple(paths))])

    assert len(caplog.records) == 1
    assert "3 scans, such as 0.nii.gz" in caplog.text
