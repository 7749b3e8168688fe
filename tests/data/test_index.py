"""Every scan of a BIDS folder is found, nothing else is, and what is left out is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medtranslate.data.index import index_dataset, index_datasets, read_description
from medtranslate.errors import DatasetError


def test_people_contrasts_and_participants_are_found(cohort: Path) -> None:
    index = index_dataset(cohort)

    assert index.name == "cohort"
    assert index.subjects == tuple(f"cohort/p{number}" for number in range(1, 7))
    assert index.contrasts == ("T1w", "T1w+ce-gadolinium", "T2w")
    assert len(index.scans) == 13
    assert index.participants["cohort/p2"] == {"sex": "F", "age": "32"}
    assert index.problems == ()


def test_masks_come_from_derivatives_and_images_do_not(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    add_scans(tmp_path, "sub-1_T1w", "sub-1_desc-body_mask")
    add_scans(tmp_path, "sub-1_desc-brain_mask", "sub-1_desc-n4_T1w", below="derivatives/prep")

    index = index_dataset(tmp_path)

    assert [(s.contrast, s.kind) for s in index.scans if s.kind == "image"] == [("T1w", "image")]
    assert {s.contrast for s in index.scans if s.kind == "mask"} == {
        "mask+desc-brain",
        "mask+desc-body",
    }


def test_a_derivative_folder_is_a_dataset_of_its_own(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    add_scans(tmp_path, "sub-1_desc-n4_T1w", below="derivatives/prep")

    index = index_dataset(tmp_path / "derivatives" / "prep")

    assert [scan.subject for scan in index.scans] == ["prep/1"]


@pytest.mark.parametrize("folder", ["sourcedata", "code", ".git", "other"])
def test_scans_outside_the_subject_folders_are_not_taken(
    cohort: Path, add_scans: Callable[..., list[Path]], folder: str
) -> None:
    add_scans(cohort, "sub-p9_T1w", below=folder)

    assert "cohort/p9" not in index_dataset(cohort).subjects


@pytest.mark.parametrize(
    ("table", "days"),
    [
        ("session_id\tdays_since_baseline\nses-1\t0\nses-2\t203\n", {"1": 0.0, "2": 203.0}),
        ("session_id\tdays_since_baseline\nses-2\t454\n", {"1": None, "2": 454.0}),
        (
            "session_id\tacq_time\nses-1\t2019-12-30T10:00:00\nses-2\t2020-01-09T10:00:00\n",
            {"1": 0.0, "2": 10.0},
        ),
    ],
)
def test_days_come_from_the_sessions_table(
    tmp_path: Path, add_scans: Callable[..., list[Path]], table: str, days: dict[str, float | None]
) -> None:
    add_scans(tmp_path, "sub-1_ses-1_T1w", "sub-1_ses-2_T1w")
    (tmp_path / "sub-1" / "sub-1_sessions.tsv").write_text(table)

    index = index_dataset(tmp_path)

    assert {scan.session: scan.days for scan in index.scans} == days


def test_transforms_are_found(cohort: Path) -> None:
    folder = cohort / "derivatives" / "transforms" / "sub-p1"
    folder.mkdir(parents=True)
    (folder / "sub-p1_from-T2w_to-T1w_xfm.txt").write_text("")
    (folder / "notes.txt").write_text("")

    [transform] = index_dataset(cohort).transforms

    assert (transform.subject, transform.session) == ("cohort/p1", None)
    assert (transform.moving, transform.fixed) == ("T2w", "T1w")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("sub-p1/anat/sub-p2_T1w.nii.gz", "speak of different people or visits"),
        ("sub-p1/ses-1/anat/sub-p1_ses-2_T1w.nii.gz", "speak of different people or visits"),
        ("sub-p1/anat/sub-p1_flip-1_MTS.nii.gz", "its name cannot be read"),
        ("sub-p1/anat/t1_final.nii.gz", "its name cannot be read"),
        ("sub-p1/func/sub-p1_task-rest_bold.nii.gz", "1 files '..._bold' are left out"),
    ],
)
def test_a_scan_that_is_left_out_is_told(cohort: Path, name: str, problem: str) -> None:
    path = cohort / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")

    index = index_dataset(cohort)

    assert len(index.scans) == 13
    assert len(index.problems) == 1
    assert problem in index.problems[0]


def test_a_link_to_content_that_was_not_fetched_is_told(cohort: Path) -> None:
    (cohort / "sub-p1" / "anat" / "sub-p1_FLAIR.nii.gz").symlink_to("gone.nii.gz")

    index = index_dataset(cohort)

    assert "FLAIR" not in index.contrasts
    assert "datalad get" in index.problems[0]


def test_linked_folders_are_followed_but_not_in_circles(cohort: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for number in (1, 2):
        (linked / f"sub-p{number}").symlink_to(cohort / f"sub-p{number}")
    (cohort / "sub-p1" / "anat" / "again").symlink_to(cohort / "sub-p1")

    index = index_dataset(linked)

    assert [(scan.subject, scan.contrast) for scan in index.scans] == [
        ("linked/p1", "T1w"),
        ("linked/p1", "T2w"),
        ("linked/p1", "T1w+ce-gadolinium"),
        ("linked/p2", "T1w"),
        ("linked/p2", "T2w"),
    ]


def test_people_without_scans_and_scans_without_people_are_told(
    cohort: Path, add_scans: Callable[..., list[Path]]
) -> None:
    add_scans(cohort, "sub-new_T1w")
    with (cohort / "participants.tsv").open("a") as table:
        table.write("sub-gone\tF\t50\n")

    problems = index_dataset(cohort).problems

    assert problems == (
        "sub-gone: in participants.tsv, but no scan is there",
        "sub-new: no line in participants.tsv",
    )


def test_a_folder_of_dicom_files_says_what_to_do(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.DCM").write_bytes(b"")

    index = index_dataset(tmp_path)

    assert index.scans == ()
    assert "3 DICOM files; name the folder of each series in a CSV table" in index.problems[0]


def test_a_folder_of_datasets_names_them(cohort: Path) -> None:
    (cohort / "dataset_description.json").write_text("{}")

    assert "it holds the datasets cohort" in index_dataset(cohort.parent).problems[0]


def test_what_does_not_exist_or_is_no_dataset_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")

    with pytest.raises(DatasetError, match="no such folder or file"):
        index_dataset(tmp_path / "gone")
    with pytest.raises(DatasetError, match="is a file, not a dataset"):
        index_dataset(tmp_path / "notes.txt")


def test_people_of_two_datasets_with_one_name_are_kept_apart(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    for site in ("north", "south"):
        add_scans(tmp_path / site / "scans", "sub-1_T1w")

    indexes = index_datasets([tmp_path / "north" / "scans", tmp_path / "south" / "scans"])

    assert [index.subjects for index in indexes] == [("north-scans/1",), ("south-scans/1",)]


def test_one_dataset_given_twice_is_refused(cohort: Path) -> None:
    with pytest.raises(DatasetError, match="is given 2 times"):
        index_datasets([cohort, cohort.parent / "." / "cohort"])


def test_names_that_stay_equal_are_refused(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    roots = [tmp_path / side / "site" / "scans" for side in "ab"]
    for root in roots:
        add_scans(root, "sub-1_T1w")

    with pytest.raises(DatasetError, match="have the same name; rename one folder"):
        index_datasets(roots)


def test_the_description_is_read_and_may_be_absent_or_broken(tmp_path: Path) -> None:
    assert read_description(tmp_path) == {}
    (tmp_path / "dataset_description.json").write_text('{"Name": "Six", "License": 4}')
    assert read_description(tmp_path) == {"Name": "Six"}
    (tmp_path / "dataset_description.json").write_text("{")
    assert read_description(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "num_people", "num_scans", "contrasts"),
    [
        ("open_ms_cross", 2, 8, ("T1w", "T1w+ce-gadolinium", "T2w", "FLAIR")),
        ("open_ms_long", 4, 16, ("T1w", "T2w", "FLAIR")),
        ("cstar_stroke", 1, 3, ("T1w", "T2w", "FLAIR")),
        ("brats_gli", 1, 4, ("T1w", "T1w+ce-gadolinium", "T2w", "FLAIR")),
        ("tcga_lgg", 1, 4, ("T1w", "T1w+ce-gadolinium", "T2w", "FLAIR")),
        ("brain_tumor_progression", 7, 14, ("T1w+ce-gadolinium",)),
        ("spine_mts", 2, 4, ("MTS+acq-MToff", "MTS+acq-MTon")),
        ("petct_dicom", 0, 0, ()),
    ],
)
def test_real_datasets_are_indexed(
    shared_data: Path, name: str, num_people: int, num_scans: int, contrasts: tuple[str, ...]
) -> None:
    index = index_dataset(shared_data / name)

    assert len(index.subjects) == num_people
    assert sum(scan.kind == "image" for scan in index.scans) == num_scans
    assert index.contrasts == contrasts
    assert bool(index.problems) == (name == "petct_dicom")
