from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from medtranslate.errors import DatasetError
from medtranslate.io import read_mask, read_volume
from medtranslate.phantom.anatomy import Template
from medtranslate.phantom.cohort import CHECKSUMS, DERIVATIVES
from medtranslate.phantom.contrast import VENTRICLES, Tissue
from medtranslate.phantom.longitudinal import follow, make_longitudinal_cohort

COARSE_MM = 12.0


def table(path: Path, delimiter: str = "\t") -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines(), delimiter=delimiter))


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def cohort(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with tumours, seen three times, on a very coarse grid."""
    out = tmp_path_factory.mktemp("longitudinal") / "cohort"
    make_longitudinal_cohort(
        out, subjects=2, seed=4, visits=3, disease="tumour", spacing_mm=COARSE_MM
    )
    return out


def test_the_same_arguments_give_the_same_bytes(cohort: Path, tmp_path: Path) -> None:
    make_longitudinal_cohort(
        tmp_path / "cohort", subjects=1, seed=4, visits=3, disease="tumour", spacing_mm=COARSE_MM
    )

    one, two = contents(tmp_path / "cohort"), contents(cohort)
    person = [name for name in one if "sub-phantom01/" in name]
    assert len(person) > 40
    assert [name for name in person if one[name] != two[name]] == []


def test_times_are_random_and_start_at_0(cohort: Path) -> None:
    days = [
        [int(row["days_since_baseline"]) for row in table(cohort / s / f"{s}_sessions.tsv")]
        for s in ("sub-phantom01", "sub-phantom02")
    ]

    assert [len(found) for found in days] == [3, 3]
    assert days[0] != days[1]
    for found in days:
        gaps = np.diff(found)
        assert found[0] == 0
        assert 30 <= gaps.min() <= gaps.max() <= 110


def test_the_truth_lies_beside_the_scans(cohort: Path) -> None:
    name = "sub-phantom02_ses-3"
    folder = cohort / DERIVATIVES / "sub-phantom02" / "ses-3" / "anat"
    scan = read_volume(cohort / "sub-phantom02" / "ses-3" / "anat" / f"{name}_T1w.nii.gz")

    mask = read_mask(folder / f"{name}_label-tumor_mask.nii.gz", like=scan.geometry)
    density = read_volume(folder / f"{name}_label-tumor_probseg.nii.gz").voxels
    moved = [
        read_volume(folder / f"{name}_desc-{axis}mm_displacement.nii.gz").voxels for axis in "xyz"
    ]
    rows = table(cohort / DERIVATIVES / "sub-phantom02" / "volumes.csv", ",")

    np.testing.assert_array_equal(mask, density >= np.float32(0.2))
    (volume,) = (
        float(r["volume_ml"]) for r in rows if (r["session"], r["region"]) == ("3", "tumor")
    )
    np.testing.assert_allclose(mask.sum() * COARSE_MM**3 / 1000, volume, rtol=1e-3)
    assert 0.01 < np.abs(moved).max() < 20.0
    assert {r["region"] for r in rows} == {"brain", "grey", "white", "tumor"}
    assert f"{name}_T1w.nii.gz" in (cohort / CHECKSUMS).read_text()


def test_a_segmentation_tells_ventricles_from_other_fluid(
    template: Template, cohort: Path, tmp_path: Path
) -> None:
    make_longitudinal_cohort(
        tmp_path / "c", subjects=1, seed=4, visits=2, disease="atrophy", spacing_mm=8.0
    )
    folder = tmp_path / "c" / DERIVATIVES / "sub-phantom01" / "ses-2" / "anat"
    name = "sub-phantom01_ses-2"

    labels = read_volume(folder / f"{name}_dseg.nii.gz").voxels
    ventricles = read_volume(folder / f"{name}_label-ventricles_mask.nii.gz").voxels > 0

    assert ventricles.any()
    np.testing.assert_array_equal(labels[ventricles], VENTRICLES)
    assert not (labels[~ventricles] == VENTRICLES).any()
    assert (labels == Tissue.CSF).any()
    named = {c: table(c / DERIVATIVES / "dseg.tsv")[-1]["name"] for c in (tmp_path / "c", cohort)}
    assert list(named.values()) == ["ventricles", "eye"]


def test_participants_tell_what_drives_and_what_does_not(cohort: Path) -> None:
    for row in table(cohort / "participants.tsv"):
        assert row["grade"] in ("low", "high")
        assert 8 <= int(row["education_years"]) <= 20


def test_a_person_is_the_same_at_the_first_visit_whatever_comes_later(template: Template) -> None:
    few, many = (
        follow(1, 3, visits=visits, disease="atrophy", spacing_mm=COARSE_MM) for visits in (2, 4)
    )

    assert (few.pace, few.age) == (many.pace, many.age)
    np.testing.assert_array_equal(
        few.course.stage(0.0).anatomy.fractions, many.course.stage(0.0).anatomy.fractions
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visits": 1}, "visits is 1, expected 2 to 12"),
        ({"visits": 13}, "visits is 13"),
        ({"disease": "flu"}, "disease is 'flu', expected one of atrophy, tumour, lesions"),
        ({"subjects": 0}, "subjects is 0"),
    ],
)
def test_what_cannot_be_made_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    arguments = {"subjects": 1, "seed": 0, "visits": 2, "disease": "atrophy", **change}

    with pytest.raises(ValueError, match=message):
        make_longitudinal_cohort(tmp_path / "out", **arguments)  # type: ignore[arg-type]  # on purpose

    assert not (tmp_path / "out").exists()


def test_nothing_is_written_into_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")

    with pytest.raises(DatasetError, match="not an empty folder"):
        make_longitudinal_cohort(tmp_path, subjects=1, seed=0, visits=2, disease="lesions")
