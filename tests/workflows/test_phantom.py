from __future__ import annotations

from pathlib import Path

import pytest

from medtranslate.errors import ConfigError
from medtranslate.workflows.phantom import make_phantom


class Recorder:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def stage(self, name: str, total: float) -> None:
        self.told.append((name, total))

    def update(self, done: float, note: str = "") -> None:
        self.told.append((done, note))


def test_a_cohort_is_made_and_each_person_is_told(tmp_path: Path) -> None:
    pytest.importorskip("nilearn", reason="nilearn is not installed; it makes the phantoms")
    recorder = Recorder()

    make_phantom(tmp_path / "cohort", subjects=1, seed=4, spacing_mm=16.0, progress=recorder)

    assert recorder.told == [("simulating people", 1), (1, "sub-phantom01")]
    assert (tmp_path / "cohort/sub-phantom01/anat/sub-phantom01_T2w.nii.gz").exists()


def test_a_number_out_of_range_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"spacing_mm is 40\.0, expected 1 to 16"):
        make_phantom(tmp_path / "cohort", subjects=1, seed=4, spacing_mm=40.0)
