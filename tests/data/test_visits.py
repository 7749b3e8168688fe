from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medtranslate.data.index import index_dataset
from medtranslate.data.leakage import guard_split
from medtranslate.data.split import SplitSettings, split_subjects
from medtranslate.data.visits import VisitPair, VisitSettings, find_time_faults, pair_visits
from medtranslate.errors import ConfigError, DatasetError

AddScans = Callable[..., list[Path]]


def pair(root: Path, contrast: str = "T1w", **settings: object) -> list[VisitPair]:
    return pair_visits(
        [index_dataset(root)],
        contrast=contrast,
        settings=VisitSettings.model_validate(settings),
    )


def write_sessions(root: Path, subject: str, *lines: str) -> None:
    text = "\n".join("\t".join(line.split()) for line in lines) + "\n"
    (root / f"sub-{subject}" / f"sub-{subject}_sessions.tsv").write_text(text)


@pytest.fixture
def followed(tmp_path: Path, add_scans: AddScans) -> Path:
    """Three people: a with three visits in the wrong order of names, b with two, c with one."""
    root = tmp_path / "followed"
    add_scans(root, "sub-a_ses-late_T1w", "sub-a_ses-early_T1w", "sub-a_ses-mid_T1w")
    add_scans(root, "sub-a_ses-mid_T2w", "sub-b_ses-1_T1w", "sub-b_ses-2_T1w", "sub-c_ses-1_T1w")
    add_scans(
        root, "sub-a_ses-mid_label-tumor_mask", "sub-b_label-tumor_mask", below="derivatives/masks"
    )
    write_sessions(
        root, "a", "session_id years drug age", "ses-late 2 none 63", "ses-mid 0.5 x n/a",
        "ses-early 0 n/a 61",
    )  # fmt: skip
    write_sessions(root, "b", "session_id days_since_baseline drug", "ses-1 0 y", "ses-2 365.25 y")
    (root / "participants.tsv").write_text(
        "participant_id\tage\tsite\nsub-a\t60\t1\nsub-b\tn/a\tnorth\nsub-c\t40\t2\n"
    )
    return root


def test_consecutive_visits_are_paired_in_the_order_of_time(followed: Path) -> None:
    first, second, third = pair(followed)

    assert [(p.baseline.session, p.follow_up.session) for p in (first, second, third)] == [
        ("early", "mid"), ("mid", "late"), ("1", "2"),
    ]  # fmt: skip
    assert first.name == "followed_a_ses-early_to-mid"
    assert (second.dataset, second.subject) == ("followed", "followed/a")
    np.testing.assert_allclose([p.interval_years for p in (first, second, third)], [0.5, 1.5, 1.0])
    assert [v.session for v in second.earlier] == ["early"]
    assert first.earlier == ()
    assert second.follow_up.scan.name == "sub-a_ses-late_T1w.nii.gz"
    np.testing.assert_allclose(second.follow_up.years, 2.0)


def test_all_pairs_look_from_every_visit_to_every_later_one(followed: Path) -> None:
    pairs = {p.name.partition("_")[2]: p for p in pair(followed, pairs="all")}

    assert sorted(pairs) == [
        "a_ses-early_to-late", "a_ses-early_to-mid", "a_ses-mid_to-late", "b_ses-1_to-2",
    ]  # fmt: skip
    np.testing.assert_allclose(pairs["a_ses-early_to-late"].interval_years, 2.0)
    assert pairs["a_ses-early_to-late"].earlier == ()
    assert len(pairs["a_ses-mid_to-late"].images) == 3


def test_covariates_are_those_of_the_baseline_and_missing_ones_are_none(followed: Path) -> None:
    early, middle, other = pair(followed, covariates=("age", "drug", "site"))

    assert early.covariates == {"age": 61.0, "drug": None, "site": "1"}
    assert middle.covariates == {"age": 60.0, "drug": "x", "site": "1"}
    assert other.covariates == {"age": None, "drug": "y", "site": "north"}


def test_an_unknown_covariate_names_the_known_ones(followed: Path) -> None:
    with pytest.raises(ConfigError, match=r"column 'weight'; there are age, drug, site$"):
        pair(followed, covariates=("age", "weight"))


def test_labels_are_each_visits_own(followed: Path) -> None:
    early, middle, other = pair(followed, labels="mask+label-tumor")

    assert early.baseline.labels is None
    assert early.follow_up.labels == middle.baseline.labels
    assert middle.baseline.labels is not None
    assert middle.baseline.labels.name == "sub-a_ses-mid_label-tumor_mask.nii.gz"
    assert (other.baseline.labels, other.follow_up.labels) == (None, None)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ("dseg", DatasetError, r"has 'dseg'; visits have mask\+label-tumor\."),
        ("T2w", ConfigError, "'T2w', which picks images"),
    ],
)
def test_labels_that_fit_nothing_are_refused(
    followed: Path, labels: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        pair(followed, labels=labels)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("ses-1 0",), "cohort/p: nothing tells when ses-2 was. Write days_since_baseline"),
        (("ses-1 0", "ses-2 0"), "cohort/p: ses-1 and ses-2 are 0 days apart"),
        (("ses-1 90", "ses-2 0"), "cohort/p: ses-2 lies -90 days after ses-1: a negative interval"),
        (("ses-1 0", "ses-2 -5"), "cohort/p: ses-2 lies -5 days after the first visit"),
        (("ses-1 0", "ses-2 inf"), "cohort/p: ses-2 lies inf days after the first visit"),
    ],
)
def test_an_interval_that_cannot_be_is_refused_by_name(
    tmp_path: Path, add_scans: AddScans, lines: tuple[str, ...], message: str
) -> None:
    root = tmp_path / "cohort"
    add_scans(root, "sub-p_ses-1_T1w", "sub-p_ses-2_T1w")
    write_sessions(root, "p", "session_id days", *lines)

    with pytest.raises(DatasetError, match=message):
        pair(root)


def test_every_persons_fault_is_told_at_once(tmp_path: Path, add_scans: AddScans) -> None:
    root = tmp_path / "cohort"
    for name in "pq":
        add_scans(root, f"sub-{name}_ses-1_T1w", f"sub-{name}_ses-2_T1w")

    with pytest.raises(DatasetError, match=r"cohort/p: nothing tells.*\ncohort/q: nothing tells"):
        pair(root)


@pytest.mark.parametrize(
    ("years", "num_faults"),
    [
        ({"m6": 0.5, "m12": 1.0, "m0": 0.0}, 0),
        ({"m6": 1.0, "m12": 0.5, "m0": 0.0}, 1),
        ({"a": 0.0, "b": 2.0, "c": 0.0}, 1),
        ({"post": 0.0, "pre": 1.0}, 0),
        ({"x1": 1.0, "y2": 0.0}, 0),
    ],
)
def test_names_with_numbers_must_run_with_time(years: dict[str, float], num_faults: int) -> None:
    assert len(list(find_time_faults(years))) == num_faults


def test_without_any_pair_the_message_says_who_can_be_followed(followed: Path) -> None:
    with pytest.raises(DatasetError, match=r"two visits with 'T2w'.*\n  followed: T1w \(2\)"):
        pair(followed, "T2w")


def test_a_csv_table_gives_days_and_covariates_of_each_visit(
    tmp_path: Path, add_scans: AddScans
) -> None:
    one, two = add_scans(tmp_path / "files", "sub-p_ses-1_T1w", "sub-p_ses-2_T1w")
    table = tmp_path / "table.csv"
    lines = ["subject,session,contrast,path,days,age"]
    lines += [f"p,{n},T1w,{path},{days},{age}" for n, path, days, age in (
        (1, one, 10, 50), (2, two, 740.5, 52))]  # fmt: skip
    table.write_text("\n".join(lines))

    (found,) = pair(table, covariates=("age",))

    np.testing.assert_allclose(found.interval_years, 2.0)
    assert found.covariates == {"age": 50.0}


def test_all_visits_of_a_person_lie_in_one_part(tmp_path: Path, add_scans: AddScans) -> None:
    root = tmp_path / "cohort"
    for n in range(8):
        add_scans(root, *(f"sub-p{n}_ses-{v}_T1w" for v in (1, 2, 3)))
        write_sessions(root, f"p{n}", "session_id months", "ses-1 0", "ses-2 6", "ses-3 13")
    pairs = pair(root, pairs="all")

    split = split_subjects(pairs, {}, SplitSettings(val=2, test=2))
    guard_split(split, pairs)

    parts = {part: split.cases(pairs, part) for part in ("train", "val", "test")}
    assert [len(found) for found in parts.values()] == [12, 6, 6]
    people = [{p.subject for p in found} for found in parts.values()]
    assert sum(map(len, people)) == len(set.union(*people)) == 8


def test_a_visit_under_two_names_may_not_be_split(tmp_path: Path, add_scans: AddScans) -> None:
    root = tmp_path / "cohort"
    for n in range(3):
        add_scans(root, f"sub-p{n}_ses-1_T1w")
        copied = np.full((14, 12, 9), 5, np.int16) * np.arange(9, dtype=np.int16)
        add_scans(root, f"sub-p{n}_ses-2_T1w", voxels=copied)
        write_sessions(root, f"p{n}", "session_id months", "ses-1 0", "ses-2 6")
    pairs = pair(root)

    with pytest.raises(DatasetError, match="p0 and cohort/p1 have the same scan"):
        guard_split(split_subjects(pairs, {}, SplitSettings()), pairs)


@pytest.mark.parametrize(
    ("dataset", "contrast", "labels", "days"),
    [
        ("open_ms_long", "FLAIR", None, {"omsL01": 203, "omsL03": 671}),
        ("open_ms_long", "T1w", None, {"omsL01": 203}),
        (
            "brain_tumor_progression", "T1w+ce-gadolinium", "mask+label-tumor",
            {"btp01": 157, "btp02": 63, "btp04": 29, "btp05": 55, "btp07": 75, "btp09": 27,
             "btp11": 119},
        ),
    ],
)  # fmt: skip
def test_real_visits_are_paired(
    shared_data: Path, dataset: str, contrast: str, labels: str | None, days: dict[str, int]
) -> None:
    pairs = pair(shared_data / dataset, contrast, labels=labels)

    found = {p.subject.partition("/")[2]: p.interval_years * 365.25 for p in pairs}
    assert list(found) == list(days)
    np.testing.assert_allclose(list(found.values()), list(days.values()))
    assert all((p.baseline.labels is None) == (labels is None) for p in pairs)
    assert all((p.follow_up.labels is None) == (labels is None) for p in pairs)
