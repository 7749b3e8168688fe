"""People are divided by person, evenly, repeatably, and as the settings say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from medtranslate.data.cases import Case
from medtranslate.data.split import (
    PARTS,
    Split,
    SplitSettings,
    check_people,
    read_split,
    split_subjects,
)
from medtranslate.errors import DatasetError


def make_cases(*subjects: str, num_visits: int = 1) -> list[Case]:
    return [
        Case(f"{s.replace('/', '_')}_ses-{v}", s.partition("/")[0], s, str(v), Path(f"{s}{v}"))
        for s in subjects
        for v in range(num_visits)
    ]


TWENTY = tuple(f"d/{number:02d}" for number in range(20))


def counts(split: Split) -> tuple[int, int, int]:
    train, val, test = (len(split.subjects(part)) for part in PARTS)
    return train, val, test


@pytest.mark.parametrize(
    ("num_people", "val", "test", "expected"),
    [
        (20, 0.1, 0.2, (14, 2, 4)),
        (20, 3, 5, (12, 3, 5)),
        (20, 0, 0, (20, 0, 0)),
        (10, 0.15, 0.15, (6, 2, 2)),
        (3, 0.1, 0.2, (1, 1, 1)),
        (2, 0.1, 0.2, (1, 0, 1)),
        (1, 0.1, 0.2, (1, 0, 0)),
        (20, 0.9, 0.9, (1, 1, 18)),
    ],
)
def test_parts_have_the_size_asked_for_and_one_person_always_trains(
    num_people: int, val: float, test: float, expected: tuple[int, int, int]
) -> None:
    settings = SplitSettings(val=val, test=test)

    assert counts(split_subjects(make_cases(*TWENTY[:num_people]), {}, settings)) == expected


def test_all_visits_of_a_person_are_in_one_part() -> None:
    cases = make_cases(*TWENTY, num_visits=3)

    split = split_subjects(cases, {}, SplitSettings())

    assert counts(split) == (14, 2, 4)
    assert len(split.cases(cases, "test")) == 12
    parts = {part: {c.subject for c in split.cases(cases, part)} for part in PARTS}
    assert not parts["train"] & parts["test"]
    assert not parts["train"] & parts["val"]


def test_the_same_seed_draws_the_same_people_whatever_their_order() -> None:
    one = split_subjects(make_cases(*TWENTY), {}, SplitSettings(seed=3))
    two = split_subjects(make_cases(*reversed(TWENTY)), {}, SplitSettings(seed=3))
    other = split_subjects(make_cases(*TWENTY), {}, SplitSettings(seed=4))

    assert one.assignment == two.assignment
    assert one.hash == two.hash
    assert other.subjects("test") != one.subjects("test")
    assert other.hash != one.hash


def test_every_person_is_drawn_equally_often() -> None:
    drawn = Counter[str]()
    for seed in range(400):
        drawn.update(
            split_subjects(make_cases(*TWENTY), {}, SplitSettings(seed=seed)).subjects("test")
        )

    # 400 draws of 4 in 20: 80 each, standard deviation 8.
    assert set(drawn) == set(TWENTY)
    assert max(abs(count - 80) for count in drawn.values()) <= 36


def test_a_person_added_later_moves_few_others() -> None:
    before = split_subjects(make_cases(*TWENTY), {}, SplitSettings()).assignment
    after = split_subjects(make_cases(*TWENTY, "d/new"), {}, SplitSettings()).assignment

    assert sum(before[subject] != after[subject] for subject in TWENTY) <= 2


def test_strata_are_spread_over_the_parts() -> None:
    people = {subject: {"sex": "F" if n < 5 else "M"} for n, subject in enumerate(TWENTY)}
    settings = SplitSettings(val=4, test=4, stratify_by="sex")

    for seed in range(10):
        split = split_subjects(
            make_cases(*TWENTY), people, settings.model_copy(update={"seed": seed})
        )
        for part in ("val", "test"):
            assert Counter(people[s]["sex"] for s in split.subjects(part)) == {"F": 1, "M": 3}


def test_people_who_do_not_divide_evenly_go_to_the_largest_remainder() -> None:
    people = {subject: {"sex": "F" if n < 7 else "M"} for n, subject in enumerate(TWENTY)}

    split = split_subjects(
        make_cases(*TWENTY), people, SplitSettings(val=0, test=4, stratify_by="sex")
    )

    # 4 of 20: 1.4 of the 7 and 2.6 of the 13.
    assert Counter(people[s]["sex"] for s in split.subjects("test")) == {"F": 1, "M": 3}


def test_datasets_can_be_strata() -> None:
    subjects = [*(f"a/{n}" for n in range(10)), *(f"b/{n}" for n in range(10))]
    settings = SplitSettings(val=2, test=4, stratify_by="dataset")

    split = split_subjects(make_cases(*subjects), {}, settings)

    assert Counter(s[0] for s in split.subjects("test")) == {"a": 2, "b": 2}
    assert Counter(s[0] for s in split.subjects("val")) == {"a": 1, "b": 1}


def test_a_column_that_is_not_there_is_refused() -> None:
    people = {subject: {"sex": "F"} for subject in TWENTY}

    with pytest.raises(DatasetError, match="has a column 'age'; there are sex, and 'dataset'"):
        split_subjects(make_cases(*TWENTY), people, SplitSettings(stratify_by="age"))


def test_a_column_that_tells_everyone_apart_is_refused() -> None:
    people = {subject: {"name": subject} for subject in TWENTY}

    with pytest.raises(DatasetError, match="choose a column with few values"):
        split_subjects(make_cases(*TWENTY), people, SplitSettings(stratify_by="name"))


def test_named_people_are_exactly_the_part_and_the_rest_is_drawn() -> None:
    settings = SplitSettings(val=2, test=9, test_subjects=("d/03", "sub-04", "05"))

    split = split_subjects(make_cases(*TWENTY), {}, settings)

    assert split.subjects("test") == ("d/03", "d/04", "d/05")
    assert counts(split) == (15, 2, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test_subjects": ("d/99",)}, "split.test_subjects: nobody is called 'd/99'"),
        ({"test_subjects": ("1",)}, "'1' may be a/1 or b/1; write the whole key"),
        ({"test_subjects": ("a/1",), "val_subjects": ("a/1",)}, "a/1 is in split.val_subjects and"),
        ({"test": 4, "val": 0}, "split.test: 4 people are asked for, but of 4 only 4"),
        ({"test": 2, "val": 2}, "split.val: 2 people are asked for, but of 4 only 2"),
        ({"test_subjects": ("a/1", "a/2", "b/1", "b/3"), "val": 0}, "nobody remains to train"),
    ],
)
def test_what_cannot_be_divided_is_refused(settings: dict[str, object], message: str) -> None:
    cases = make_cases("a/1", "a/2", "b/1", "b/3")

    with pytest.raises(DatasetError, match=message):
        split_subjects(cases, {}, SplitSettings.model_validate(settings))


@pytest.mark.parametrize("share", [-1, 1.0, 1.5, -0.1, True, "0.2"])
def test_a_share_is_a_number_of_people_or_below_one(share: object) -> None:
    with pytest.raises(ValidationError):
        SplitSettings.model_validate({"test": share})


def test_a_split_column_is_followed_if_everyone_has_one() -> None:
    people = {s: {"split": "test" if s in TWENTY[:3] else "train"} for s in TWENTY}

    split = split_subjects(make_cases(*TWENTY), people, SplitSettings(val_subjects=(TWENTY[9],)))

    assert split.subjects("test") == TWENTY[:3]
    assert split.subjects("val") == (TWENTY[9],)
    assert counts(split) == (16, 1, 3)


def test_a_split_column_with_gaps_is_not_followed() -> None:
    people = {s: {"split": "test"} for s in TWENTY[:19]}

    assert counts(split_subjects(make_cases(*TWENTY), people, SplitSettings())) == (14, 2, 4)


def test_a_split_written_to_a_file_comes_back(tmp_path: Path) -> None:
    split = split_subjects(make_cases(*TWENTY), {}, SplitSettings())
    path = tmp_path / "split.json"
    path.write_text(json.dumps(split.to_json()))

    again = split_subjects(make_cases(*TWENTY), {}, SplitSettings(file=path, seed=9))

    assert again.assignment == split.assignment
    assert again.hash == split.hash == json.loads(path.read_text())["hash"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"subjects": {"d/1": "train", "d/1": "test"}}', "d/1 is given twice"),
        ('{"subjects": {"d/1": "valid"}}', "d/1: 'valid' is not train, val or test"),
        ('{"subjects": {}}', 'expected {"subjects"'),
        ("[]", "holds list, expected an object"),
        ("{", "cannot be read as a split file"),
        ('{"subjects": {"d/1": "train"}, "hash": "0"}', "was changed after it was written"),
    ],
)
def test_a_split_file_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(text)

    with pytest.raises(DatasetError, match=message):
        read_split(path)


def test_a_split_file_written_by_hand_needs_no_hash(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_text('{"subjects": {"d/1": "train", "d/2": "test"}}')

    assert read_split(path).subjects("test") == ("d/2",)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ({"d/1": "train", "d/2": "test", "d/3": "val"}, "people who are not in the data: d/3"),
        ({"d/1": "train"}, "does not say where these people belong: d/2"),
        ({"d/1": "train", "d/2": "test", "d/2_ses-1": "val"}, "by person, never by visit"),
    ],
)
def test_a_split_of_other_people_is_refused(assignment: dict[str, str], message: str) -> None:
    split = Split.from_json({"subjects": assignment}, where="split.json")

    with pytest.raises(DatasetError, match=message):
        check_people(split, make_cases("d/1", "d/2"))


def test_an_absent_split_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.json: cannot be read"):
        split_subjects(make_cases("d/1"), {}, SplitSettings(file=tmp_path / "gone.json"))
