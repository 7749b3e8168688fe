"""People grouped by the participants table, and by nothing else in it."""

from __future__ import annotations

import pytest

from medtranslate.metrics.subgroups import NOT_STATED, age_bands, band_age, find_groupings


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("0", "under 18"),
        ("17.9", "under 18"),
        ("18", "18 to 39"),
        ("39.9", "18 to 39"),
        (" 40 ", "40 to 59"),
        ("60", "60 to 79"),
        ("80", "80 and over"),
        ("89+", "80 and over"),
        ("045Y", "40 to 59"),
        ("-3", NOT_STATED),
        ("nan", NOT_STATED),
        ("old", NOT_STATED),
    ],
)
def test_an_age_falls_into_the_band_that_starts_at_it(text, band):
    assert band_age(text) == band


def test_people_are_grouped_by_every_column_that_is_known():
    people = {
        "d/1": {"sex": "F", "age": "33", "name": "Ada", "scanner": "Prisma"},
        "d/2": {"sex": "M", "age": "8", "name": "Bob", "scanner": "Prisma"},
        "d/3": {"sex": "F", "age": "n/a", "name": "Cyd", "diagnosis": "RR"},
        "d/4": {},
    }

    found = {one.topic: one.groups for one in find_groupings(people)}

    assert found == {
        "sex": {"F": ("d/1", "d/3"), "M": ("d/2",), NOT_STATED: ("d/4",)},
        "age": {"under 18": ("d/2",), "18 to 39": ("d/1",), NOT_STATED: ("d/3", "d/4")},
        "scanner": {"Prisma": ("d/1", "d/2"), NOT_STATED: ("d/3", "d/4")},
        "pathology": {"RR": ("d/3",), NOT_STATED: ("d/1", "d/2", "d/4")},
    }
    assert list(found["age"]) == ["under 18", "18 to 39", NOT_STATED]
    assert "Ada" not in str(found)


def test_two_datasets_may_call_one_thing_by_two_names():
    (found,) = find_groupings({"a/1": {"Age": "50"}, "b/1": {"age_first_visit": "51"}})

    assert found.groups == {"40 to 59": ("a/1", "b/1")}
    assert found.column == "age or age_first_visit"


def test_what_is_known_of_nobody_is_no_grouping():
    assert find_groupings({"d/1": {"sex": "n/a", "age": "adult"}, "d/2": {}}) == ()


def test_the_bands_meet_without_gap():
    assert age_bands() == ("under 18", "18 to 39", "40 to 59", "60 to 79", "80 and over")
