"""Scans of one person and visit are paired, exactly as the selectors say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medtranslate.data.cases import find_cases
from medtranslate.data.index import index_dataset, index_datasets
from medtranslate.errors import DatasetError


def test_each_visit_with_both_contrasts_makes_a_case(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    root = tmp_path / "pair"
    add_scans(root, "sub-b_ses-1_T1w", "sub-b_ses-1_T2w", "sub-b_ses-2_T1w", "sub-b_ses-2_T2w")
    add_scans(root, "sub-a_T1w", "sub-a_T2w", "sub-c_T1w", "sub-d_T2w")
    # Both contrasts, but not at one visit.
    add_scans(root, "sub-e_ses-1_T1w", "sub-e_ses-2_T2w")

    cases = find_cases([index_dataset(root)], source="T1w", target="T2w")

    found = [
        (c.name, c.subject, c.session, c.source.name, c.target and c.target.name) for c in cases
    ]
    assert found == [
        ("pair_a", "pair/a", None, "sub-a_T1w.nii.gz", "sub-a_T2w.nii.gz"),
        ("pair_b_ses-1", "pair/b", "1", "sub-b_ses-1_T1w.nii.gz", "sub-b_ses-1_T2w.nii.gz"),
        ("pair_b_ses-2", "pair/b", "2", "sub-b_ses-2_T1w.nii.gz", "sub-b_ses-2_T2w.nii.gz"),
    ]  # fmt: skip


def test_a_target_may_be_absent_if_none_is_needed(cohort: Path) -> None:
    (cohort / "sub-p3" / "anat" / "sub-p3_T2w.nii.gz").unlink()

    cases = find_cases([index_dataset(cohort)], source="T1w", target="T2w", need_target=False)

    assert [case.subject for case in cases if case.target is None] == ["cohort/p3"]
    assert len(cases) == 6


def test_a_plain_selector_never_takes_the_scan_with_contrast_agent(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    add_scans(tmp_path, "sub-1_ce-gadolinium_T1w", "sub-1_T2w")

    with pytest.raises(DatasetError, match="no visit has both 'T1w' and 'T2w'") as caught:
        find_cases([index_dataset(tmp_path)], source="T1w", target="T2w")

    assert "T1w+ce-gadolinium (1), T2w (1)" in str(caught.value)
    [case] = find_cases([index_dataset(tmp_path)], source="T1w+ce-gadolinium", target="T2w")
    assert case.source.name == "sub-1_ce-gadolinium_T1w.nii.gz"


def test_two_files_for_one_selector_are_refused_until_it_is_narrowed(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    add_scans(tmp_path / "d", "sub-1_run-1_T1w", "sub-1_run-2_T1w", "sub-1_T2w")
    index = index_dataset(tmp_path / "d")

    with pytest.raises(DatasetError, match=r"d/1: 'T1w' fits 2 files.*T1w\+run-1 or T1w\+run-2"):
        find_cases([index], source="T1w", target="T2w")

    [case] = find_cases([index], source="T1w+run-2", target="T2w")
    assert case.source.name == "sub-1_run-2_T1w.nii.gz"


def test_files_whose_names_do_not_differ_are_refused(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    [path, _] = add_scans(tmp_path, "sub-1_T1w", "sub-1_T2w")
    path.with_suffix("").write_bytes(b"")

    with pytest.raises(DatasetError, match="keep one of them"):
        find_cases([index_dataset(tmp_path)], source="T1w", target="T2w")


def test_masks_of_the_visit_come_before_those_of_the_person(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    for session in "12":
        add_scans(tmp_path, f"sub-1_ses-{session}_T1w", f"sub-1_ses-{session}_T2w")
    add_scans(tmp_path, "sub-1_ses-2_desc-brain_mask", below="derivatives/m")
    add_scans(tmp_path, "sub-1_desc-brain_mask", "sub-1_label-lesion_mask", below="derivatives/m")

    first, second = find_cases(
        [index_dataset(tmp_path)], source="T1w", target="T2w", mask="mask+desc-brain"
    )

    assert [case.mask and case.mask.name for case in (first, second)] == [
        "sub-1_desc-brain_mask.nii.gz",
        "sub-1_ses-2_desc-brain_mask.nii.gz",
    ]
    assert set(first.labels) == {"mask+label-lesion"}


def test_an_absent_mask_is_refused_and_the_others_are_named(
    cohort: Path, add_scans: Callable[..., list[Path]]
) -> None:
    add_scans(cohort, *(f"sub-p{n}_label-lesion_mask" for n in range(1, 7)), below="derivatives/m")

    with pytest.raises(DatasetError, match=r"no mask 'mask\+desc-brain'; there is mask\+label-les"):
        find_cases([index_dataset(cohort)], source="T1w", target="T2w", mask="mask+desc-brain")


def test_every_visit_that_cannot_be_paired_is_told_at_once(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    for person in "ab":
        add_scans(tmp_path, *(f"sub-{person}_{x}" for x in ("run-1_T1w", "run-2_T1w", "T2w")))

    with pytest.raises(DatasetError) as caught:
        find_cases([index_dataset(tmp_path)], source="T1w", target="T2w")

    assert len(str(caught.value).splitlines()) == 2


def test_a_transform_is_taken_for_its_own_direction_and_visit(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    add_scans(tmp_path, *(f"sub-1_ses-{s}_{c}" for s in "12" for c in ("T1w", "T2w")))
    path = tmp_path / "derivatives" / "x" / "sub-1_ses-2_from-T2w_to-T1w_xfm.txt"
    path.parent.mkdir(parents=True)
    path.write_text("")
    index = index_dataset(tmp_path)

    forth = find_cases([index], source="T1w", target="T2w")
    back = find_cases([index], source="T2w", target="T1w")

    assert [case.transform for case in forth] == [None, path]
    assert [case.transform for case in back] == [None, None]


def test_equal_people_of_two_datasets_make_cases_of_their_own(
    tmp_path: Path, add_scans: Callable[..., list[Path]]
) -> None:
    for name in ("one", "two"):
        add_scans(tmp_path / name, "sub-1_T1w", "sub-1_T2w")

    cases = find_cases(
        index_datasets([tmp_path / "one", tmp_path / "two"]), source="T1w", target="T2w"
    )

    assert [(case.name, case.subject) for case in cases] == [("one_1", "one/1"), ("two_1", "two/1")]


def test_names_of_cases_are_fit_for_files(tmp_path: Path) -> None:
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).write_bytes(b"")
    table = tmp_path / "my people.csv"
    table.write_text("subject,session,contrast,path\nÅ/b c,é 1,T1w,a.nii\nÅ/b c,é 1,T2w,b.nii\n")

    [case] = find_cases([index_dataset(table)], source="T1w", target="T2w")

    assert case.name == "my-people_--b-c_ses---1"


def test_cases_that_would_share_a_name_are_refused(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.nii").write_bytes(b"")
    rows = ["x y,T1w,a.nii", "x y,T2w,b.nii", "x-y,T1w,c.nii", "x-y,T2w,d.nii"]
    (tmp_path / "t.csv").write_text("\n".join(["subject,contrast,path", *rows]))

    with pytest.raises(DatasetError, match="2 cases would be called t_x-y"):
        find_cases([index_dataset(tmp_path / "t.csv")], source="T1w", target="T2w")


def test_source_and_target_must_differ(cohort: Path) -> None:
    with pytest.raises(DatasetError, match="source and target are both 'T1w'"):
        find_cases([index_dataset(cohort)], source="T1w", target="T1w")


@pytest.mark.parametrize(
    ("name", "target", "visits"),
    [
        ("open_ms_cross", "T2w", ["omsC07", "omsC26"]),
        ("open_ms_cross", "FLAIR", ["omsC07", "omsC26"]),
        ("open_ms_long", "T2w", ["omsL01_ses-1", "omsL01_ses-2", "omsL03_ses-2", "omsL04_ses-1"]),
        ("cstar_stroke", "FLAIR", ["cstar01"]),
        ("brats_gli", "T2w", ["bratsGLI00001"]),
        ("tcga_lgg", "FLAIR", ["tcgaFG6692"]),
    ],
)
def test_real_scans_are_paired(
    shared_data: Path, name: str, target: str, visits: list[str]
) -> None:
    cases = find_cases([index_dataset(shared_data / name)], source="T1w", target=target)

    assert [case.name for case in cases] == [f"{name}_{visit}" for visit in visits]
    assert all("ce-gadolinium" not in case.source.name for case in cases)


def test_real_transforms_are_found_where_the_dataset_has_them(shared_data: Path) -> None:
    cases = find_cases([index_dataset(shared_data / "open_ms_long")], source="FLAIR", target="T1w")

    assert [case.transform.name for case in cases if case.transform] == [
        f"sub-{visit}_from-T1w_to-FLAIR_xfm.txt"
        for visit in (
            "omsL01_ses-1",
            "omsL01_ses-2",
            "omsL03_ses-2",
            "omsL04_ses-1",
            "omsL20_ses-2",
        )
    ]
