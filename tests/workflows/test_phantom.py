from __future__ import annotations

from pathlib import Path

import pytest

from medtranslate.data.index import index_dataset
from medtranslate.data.visits import VisitSettings, pair_visits
from medtranslate.errors import ConfigError
from medtranslate.phantom.courses import Disease
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


@pytest.mark.parametrize(
    ("visits", "disease", "message"),
    [
        (3, None, "visits is 3, but nothing tells what changes the people: give --disease"),
        (1, "tumour", "visits is 1, expected 2 to 12"),
    ],
)
def test_visits_and_disease_must_fit(
    tmp_path: Path, visits: int, disease: Disease | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_phantom(tmp_path / "out", subjects=1, seed=4, visits=visits, disease=disease)


def test_a_disease_makes_a_cohort_whose_visits_can_be_paired(tmp_path: Path) -> None:
    pytest.importorskip("nilearn", reason="nilearn is not installed; it makes the phantoms")
    out = tmp_path / "ill"

    make_phantom(out, subjects=1, seed=2, spacing_mm=16.0, visits=3, disease="atrophy")

    index = index_dataset(out)
    settings = VisitSettings(
        pairs="all", covariates=("age", "diagnosis"), labels="mask+label-ventricles"
    )
    pairs = pair_visits([index], contrast="T1w", settings=settings)
    assert index.problems == ()
    assert [len(pair.earlier) for pair in pairs] == [0, 0, 1]
    assert pairs[0].covariates["diagnosis"] in ("control", "patient")
    assert all(pair.baseline.labels and pair.follow_up.labels for pair in pairs)
