"""A dataset is described as it is: who has what, what does not fit, and one line to act on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medtranslate.data.index import index_dataset
from medtranslate.data.inspection import Inspection, inspect_dataset, inspect_file


def look(root: Path) -> Inspection:
    return inspect_dataset(index_dataset(root))


def whats(inspection: Inspection, severity: str) -> list[str]:
    return [f.what for f in inspection.findings if f.severity == severity]


def shifted(affine: np.ndarray, shift_mm: float) -> np.ndarray:
    moved = affine.copy()
    moved[0, 3] += shift_mm
    return moved


@pytest.fixture
def affine() -> np.ndarray:
    """Not the grid of the other tiny datasets."""
    return np.array(
        [[3.0, 0, 0, -17.0], [0, 2.5, 0, -14.0], [0, 0, 4.0, -8.0], [0, 0, 0, 1.0]], dtype=float
    )


def test_a_clean_dataset_is_ready(cohort: Path) -> None:
    for path in cohort.rglob("*gadolinium*"):
        path.unlink()

    inspection = look(cohort)

    assert inspection.findings == ()
    assert (
        inspection.verdict
        == "Ready: 6 people, 2 contrasts, 1 pair of contrasts (at most 6 people: T1w ↔ T2w)."
    )
    [pair] = inspection.pairs
    assert (pair.num_people, pair.num_visits, pair.num_same_grid, pair.align) == (6, 6, 6, "none")


def test_missing_partners_are_named(cohort: Path) -> None:
    (cohort / "sub-p4" / "anat" / "sub-p4_T2w.nii.gz").unlink()

    inspection = look(cohort)

    [missing] = [f for f in inspection.findings if f.severity == "warning"]
    assert (missing.what, missing.where) == ("T2w is missing (5 of 6 visits have it)", ("p4",))
    [rare] = [f for f in inspection.findings if f.severity == "note"]
    assert (rare.what, rare.where) == ("only 1 of 6 visits have T1w+ce-gadolinium", ("p1",))
    assert "T2w" not in next(r for r in inspection.visits if r.subject == "cohort/p4").cells


def test_contrasts_on_different_grids_need_registration(
    tmp_path: Path, add_scans: Callable[..., list[Path]], affine: np.ndarray
) -> None:
    for person in "ab":
        add_scans(tmp_path, f"sub-{person}_T1w")
        add_scans(tmp_path, f"sub-{person}_FLAIR", affine=affine)
    folder = tmp_path / "derivatives" / "x"
    folder.mkdir(parents=True)
    for person in "ab":
        (folder / f"sub-{person}_from-T1w_to-FLAIR_xfm.txt").write_text("")

    inspection = look(tmp_path)

    [finding] = inspection.findings
    assert finding.what == "contrasts of one visit lie on different grids"
    assert finding.where == ("a", "b")
    assert inspection.verdict.startswith("Usable after registration (preprocess.align): 2 people")
    [pair] = inspection.pairs
    assert pair.num_same_grid == 0
    assert pair.align == "rigid or transforms (source FLAIR, target T1w)"


def test_visits_are_followed_over_time(
    tmp_path: Path, add_scans: Callable[..., list[Path]], affine: np.ndarray
) -> None:
    add_scans(tmp_path, "sub-a_ses-1_T1w", "sub-a_ses-2_T1w", "sub-b_ses-1_T1w")
    add_scans(tmp_path, "sub-b_ses-2_T1w", affine=affine)
    for person, days in (("a", 90), ("b", 400)):
        table = f"session_id\tdays_since_baseline\nses-1\t0\nses-2\t{days}\n"
        (tmp_path / f"sub-{person}" / f"sub-{person}_sessions.tsv").write_text(table)

    inspection = look(tmp_path)

    [course] = inspection.courses
    assert (course.contrast, course.num_people, course.num_same_grid) == ("T1w", 2, 1)
    assert course.days == (90.0, 400.0)
    assert "no pair of contrasts, 2 people with several visits" in inspection.verdict


def test_one_person_under_two_names_is_found(cohort: Path) -> None:
    shutil.copy(
        cohort / "sub-p2" / "anat" / "sub-p2_T1w.nii.gz",
        cohort / "sub-p5" / "anat" / "sub-p5_T1w.nii.gz",
    )

    inspection = look(cohort)

    assert whats(inspection, "error") == [
        "holds the same voxels as p2 T1w: one person under two names?"
    ]
    assert inspection.verdict.startswith("Look first: holds the same voxels as p2 T1w")


def test_unreadable_files_are_counted_and_do_not_stop_the_rest(cohort: Path) -> None:
    (cohort / "sub-p1" / "anat" / "sub-p1_T1w.nii.gz").write_bytes(b"")
    (cohort / "sub-p2" / "anat" / "sub-p2_T2w.nii.gz").write_bytes(b"<html>")

    inspection = look(cohort)

    assert inspection.count("error") == 2
    assert inspection.verdict.startswith("Usable without 2 of its 13 scans")
    row = inspection.visits[0]
    assert row.cells["T1w"].grids == (None,)
    assert row.cells["T1w"].severity == "error"
    assert row.cells["T2w"].severity is None


def test_source_and_target_at_different_places_are_found(
    tmp_path: Path, add_scans: Callable[..., list[Path]], affine: np.ndarray
) -> None:
    add_scans(tmp_path, "sub-a_T1w", affine=affine)
    add_scans(tmp_path, "sub-a_T2w", affine=shifted(affine, 300.0))

    inspection = look(tmp_path)

    assert whats(inspection, "error") == [
        "the fields of view of two scans of one visit hardly overlap"
    ]
    assert inspection.findings[0].where == ("a T1w and T2w (0 % of the smaller one)",)


def test_masks_on_another_grid_are_noted_and_counted(
    cohort: Path, add_scans: Callable[..., list[Path]], affine: np.ndarray
) -> None:
    add_scans(cohort, "sub-p1_desc-brain_mask", below="derivatives/m")
    add_scans(cohort, "sub-p2_desc-brain_mask", below="derivatives/m", affine=affine)

    inspection = look(cohort)

    [finding] = [f for f in inspection.findings if "mask" in f.what]
    assert finding.where == ("p2",)
    assert finding.what == "mask+desc-brain lies on the grid of no scan of its visit"
    assert dict(inspection.facts)["masks"] == "mask+desc-brain (2 of 6 visits)"


def test_two_files_of_one_contrast_are_told(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    add_scans(tmp_path, "sub-a_run-1_T1w", "sub-a_run-2_T1w", "sub-a_T2w")

    assert whats(look(tmp_path), "warning") == ["'T1w' fits 2 files of one visit"]


def test_equal_remarks_are_told_once_with_every_place(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    for person in "abc":
        add_scans(tmp_path, f"sub-{person}_T1w", voxels=np.full((14, 12, 9), 3, np.int16))

    inspection = look(tmp_path)

    [finding] = inspection.findings
    assert finding.where == ("a T1w", "b T1w", "c T1w")
    assert inspection.verdict.startswith("Do not use it as it is: every voxel is 3 (all 3 scans)")


def test_a_mask_does_not_repeat_what_is_wrong_with_its_scan(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    voxels = np.random.default_rng(2).integers(0, 900, (40, 40, 8)).astype(np.int16)
    add_scans(tmp_path, "sub-a_T1w", voxels=voxels, affine=np.eye(4))
    add_scans(tmp_path, "sub-a_desc-brain_mask", voxels=voxels // 800, affine=np.eye(4))

    [finding] = look(tmp_path).findings

    assert finding.what.startswith("header cannot be true")
    assert finding.where == ("a T1w",)


def test_a_folder_without_scans_says_so(tmp_path: Path) -> None:
    inspection = look(tmp_path)

    assert inspection.verdict == "Nothing to use here yet: no scans were found."
    assert inspection.count("error") == 1


def test_each_file_is_announced_before_it_is_read(cohort: Path) -> None:
    seen: list[Path] = []

    inspect_dataset(index_dataset(cohort), on_scan=seen.append)

    assert len(seen) == len(set(seen)) == 13


def test_an_inspection_is_plain_data(cohort: Path) -> None:
    data = json.loads(json.dumps(look(cohort).to_json()))

    assert data["visits"][0]["scans"]["T1w"] == [
        {"shape": [14, 12, 9], "spacing": [2.0, 3.0, 4.5], "orientation": "LAS"}
    ]
    assert {pair["second"] for pair in data["pairs"]} == {"T1w+ce-gadolinium", "T2w"}
    assert data["verdict"].startswith("Usable") or data["verdict"].startswith("Ready")


def test_a_file_is_described(cohort: Path) -> None:
    inspection = inspect_file(cohort / "sub-p1" / "anat" / "sub-p1_T1w.nii.gz")

    facts = dict(inspection.facts)
    assert facts["contrast"] == "T1w"
    assert facts["voxels"] == "14×12×9"
    assert facts["spacing"] == "2×3×4.5 mm"
    assert facts["axes run to"] == "LAS"
    assert inspection.verdict == "Ready: nothing is wrong with it."


def test_a_broken_file_is_not_to_be_used(tmp_path: Path) -> None:
    (tmp_path / "sub-1_T1w.nii.gz").write_bytes(b"")

    inspection = inspect_file(tmp_path / "sub-1_T1w.nii.gz")

    assert inspection.verdict.startswith("Do not use it as it is: is empty (0 bytes)")


def link(dataset: Path, root: Path, *subjects: str) -> Path:
    """A folder with some people of a dataset, so that not all of it must be read."""
    for folder in dataset.glob("derivatives/*"):
        (root / "derivatives" / folder.name).mkdir(parents=True)
        for subject in subjects:
            (root / "derivatives" / folder.name / subject).symlink_to(folder / subject)
    for subject in subjects:
        (root / subject).symlink_to(dataset / subject)
    return root


def test_a_clean_real_dataset_is_ready(shared_data: Path, tmp_path: Path) -> None:
    inspection = look(link(shared_data / "open_ms_cross", tmp_path, "sub-omsC07"))

    assert inspection.findings == ()
    assert inspection.verdict.startswith("Ready: 1 person, 4 contrasts, 6 pairs")


def test_real_headers_that_cannot_be_true_are_found(shared_data: Path, tmp_path: Path) -> None:
    people = ["sub-btp01", "sub-btp04", "sub-btp11"]

    inspection = look(link(shared_data / "brain_tumor_progression", tmp_path, *people))

    [error] = [finding for finding in inspection.findings if finding.severity == "error"]
    assert error.what.startswith("header cannot be true: 256×256×24 cubes of 1 mm")
    assert len(error.where) == 6
    assert inspection.courses[0].days == (29.0, 157.0)
    assert inspection.verdict.startswith("Do not use it as it is: header cannot be true")


def test_a_real_dataset_in_native_space_needs_registration(
    shared_data: Path, tmp_path: Path
) -> None:
    people = ["sub-omsL03", "sub-omsL20"]

    inspection = look(link(shared_data / "open_ms_long", tmp_path, *people))

    by_what = {finding.what: finding.where for finding in inspection.findings}
    assert len(by_what["contrasts of one visit lie on different grids"]) == 3
    assert by_what["T1w is missing (2 of 3 visits have it)"] == ("omsL03 ses-1",)
    assert by_what["T2w is missing (2 of 3 visits have it)"] == ("omsL20 ses-2",)
    assert inspection.count("error") == 0
    assert inspection.verdict.startswith("Usable after registration")
