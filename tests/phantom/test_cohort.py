from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from medtranslate.errors import DatasetError
from medtranslate.io import parse_bids_name, read_header, read_mask, read_volume
from medtranslate.phantom.anatomy import Template
from medtranslate.phantom.cohort import (
    CHECKSUMS,
    DERIVATIVES,
    make_cohort,
    simulate_visits,
    subject_name,
)
from medtranslate.phantom.person import draw_person, scan_grid

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data"
SAMPLE_SEED = 2026
COARSE_MM = 12.0


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of every file, by its path below the folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def table(path: Path) -> list[dict[str, str]]:
    """Rows of a tab-separated table."""
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter="\t"))


def check_sums(folder: Path) -> None:
    """Fail unless the checksums name every file, and every file has its checksum."""
    files = contents(folder)
    listed = files.pop(CHECKSUMS).decode().splitlines()
    found = [f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in files.items()]
    assert sorted(listed) == sorted(found)


@pytest.fixture(scope="module")
def cohort(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people, seen twice, on a very coarse grid."""
    out = tmp_path_factory.mktemp("phantom") / "cohort"
    make_cohort(out, subjects=2, seed=5, spacing_mm=COARSE_MM, visits=2)
    return out


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for run in ("first", "second"):
        make_cohort(tmp_path / run / "cohort", subjects=1, seed=6, spacing_mm=16.0)

    made = contents(tmp_path / "first")

    assert made == contents(tmp_path / "second")
    assert len(made) > 10


@pytest.mark.parametrize(("seed", "is_same"), [(5, True), (6, False)])
def test_a_person_depends_on_seed_and_number_alone(
    cohort: Path, tmp_path: Path, seed: int, is_same: bool
) -> None:
    make_cohort(tmp_path / "one", subjects=1, seed=seed, spacing_mm=COARSE_MM)

    for contrast in ("T1w", "T2w", "FLAIR"):
        alone = tmp_path / f"one/sub-phantom01/anat/sub-phantom01_{contrast}.nii.gz"
        among = cohort / f"sub-phantom01/ses-1/anat/sub-phantom01_ses-1_{contrast}.nii.gz"
        assert (alone.read_bytes() == among.read_bytes()) == is_same


def test_two_people_differ(cohort: Path) -> None:
    scans = [
        read_volume(cohort / f"sub-{name}/ses-1/anat/sub-{name}_ses-1_T1w.nii.gz").array
        for name in ("phantom01", "phantom02")
    ]

    assert (scans[0] != scans[1]).mean() > 0.3


def test_the_folder_is_laid_out_as_bids(cohort: Path) -> None:
    scans = [path for path in cohort.rglob("*.nii.gz") if DERIVATIVES.name not in path.parts]
    raw = json.loads((cohort / "dataset_description.json").read_text())
    truth = json.loads((cohort / DERIVATIVES / "dataset_description.json").read_text())

    assert (raw["DatasetType"], truth["DatasetType"]) == ("raw", "derivative")
    assert "--subjects 2 --seed 5" in raw["GeneratedBy"][0]["Description"]
    assert len(scans) == 2 * 2 * 4
    for path in scans:
        name = parse_bids_name(path.name)
        assert name is not None
        folder = "ct" if name.contrast == "CT" else "anat"
        place = ("sub-" + (name.get("sub") or ""), "ses-" + (name.get("ses") or ""), folder)
        assert path.relative_to(cohort).parts[:-1] == place
        assert path.with_name(path.name.replace(".nii.gz", ".json")).exists()
    assert "**/ct" in (cohort / ".bidsignore").read_text().splitlines()
    check_sums(cohort)


def test_images_are_int16_on_one_grid_and_masks_fit_them(cohort: Path) -> None:
    place = "sub-phantom02/ses-2/anat/sub-phantom02_ses-2_"
    header = read_header(cohort / f"{place}T1w.nii.gz")
    ct = read_header(cohort / "sub-phantom02/ses-2/ct/sub-phantom02_ses-2_ct.nii.gz")

    brain, lesion = (
        read_mask(cohort / DERIVATIVES / f"{place}{mask}_mask.nii.gz", like=header.geometry)
        for mask in ("desc-brain", "label-lesion")
    )

    assert (header.dtype, ct.dtype) == ("int16", "int16")
    assert ct.geometry.matches(header.geometry)
    assert lesion.sum() < 0.05 * brain.sum()
    assert not (lesion & ~brain).any()


def test_the_sessions_table_tells_atrophy_and_growth(cohort: Path) -> None:
    for name in ("phantom01", "phantom02"):
        first, second = table(cohort / f"sub-{name}" / f"sub-{name}_sessions.tsv")

        assert (first["session_id"], second["session_id"]) == ("ses-1", "ses-2")
        assert first["days_since_baseline"] == "0"
        assert 365 < int(second["days_since_baseline"]) < 1000
        lost = 1.0 - float(second["brain_volume_ml"]) / float(first["brain_volume_ml"])
        gained = float(second["lesion_volume_ml"]) / float(first["lesion_volume_ml"]) - 1.0
        assert 0.005 < lost < 0.026
        assert 0.2 < gained < 0.85


def test_nothing_is_written_into_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")

    with pytest.raises(DatasetError, match="not an empty folder"):
        make_cohort(tmp_path, subjects=1, seed=0)

    assert contents(tmp_path) == {"mine.txt": b"keep me"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subjects": 0}, "subjects is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"spacing_mm": 0.1}, r"spacing_mm is 0\.1"),
        ({"spacing_mm": float("nan")}, "spacing_mm is nan"),
        ({"visits": 3}, "visits is 3"),
    ],
)
def test_numbers_out_of_range_are_refused(
    tmp_path: Path, change: dict[str, float], message: str
) -> None:
    arguments = {"subjects": 1, "seed": 0, **change}

    with pytest.raises(ValueError, match=message):
        make_cohort(tmp_path / "cohort", **arguments)  # type: ignore[arg-type]  # wrong on purpose

    assert not (tmp_path / "cohort").exists()


def test_the_sample_data_is_what_its_checksums_say_and_small_enough() -> None:
    files = contents(SAMPLE)

    check_sums(SAMPLE)
    assert sum(map(len, files.values())) <= 25e6
    people = table(SAMPLE / "participants.tsv")
    assert len(people) >= 8
    assert [row["participant_id"] for row in people] == sorted(
        path.name for path in SAMPLE.glob("sub-*")
    )
    assert {row["sex"] for row in people} == {"F", "M"}


def test_the_sample_data_carries_the_licence_and_the_command_that_makes_it() -> None:
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")

    assert "Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre" in readme
    assert f"medtranslate phantom --out sample_data --subjects 10 --seed {SAMPLE_SEED}" in readme


@pytest.mark.slow
def test_a_sample_person_can_be_made_again_voxel_by_voxel(template: Template) -> None:
    number, grid = 3, scan_grid(2.0)
    name = subject_name(number)
    person = draw_person(np.random.default_rng([SAMPLE_SEED, number, 0]), template)

    (visit,) = simulate_visits(person, template, grid, SAMPLE_SEED, number, visits=1)

    for contrast, volume in visit.volumes.items():
        folder, suffix = ("ct", "ct") if contrast == "CT" else ("anat", contrast)
        stored = read_volume(SAMPLE / f"sub-{name}" / folder / f"sub-{name}_{suffix}.nii.gz")
        np.testing.assert_array_equal(stored.array, volume.array)
        assert stored.geometry.matches(grid)


def test_a_cohort_is_complete_or_absent(tmp_path):
    def stop(number, name):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_cohort(tmp_path / "cohort", subjects=2, seed=1, spacing_mm=16.0, on_person=stop)

    assert list(tmp_path.iterdir()) == []
