"""Everybody is held out once, evenly, repeatably."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from medtranslate.data.cases import Case
from medtranslate.data.folds import draw_folds
from medtranslate.data.split import SplitSettings, split_subjects
from medtranslate.errors import ConfigError, DatasetError

PEOPLE = tuple(f"d/{number:02d}" for number in range(17))


def make_cases(subjects, *, num_visits=2):
    return [
        Case(f"{s.replace('/', '_')}_{v}", "d", s, str(v), Path(f"{s}{v}"))
        for s in subjects
        for v in range(num_visits)
    ]


@pytest.mark.parametrize("count", [2, 5, 17])
def test_every_person_is_in_exactly_one_fold_and_folds_are_equal_give_or_take_one(count):
    folds = draw_folds(make_cases(PEOPLE), {}, SplitSettings(), count=count)

    assert Counter(who for fold in folds for who in fold) == dict.fromkeys(PEOPLE, 1)
    sizes = {len(fold) for fold in folds}
    assert len(folds) == count
    assert max(sizes) <= min(sizes) + 1


def test_folds_depend_on_the_seed_and_not_on_the_order_of_people():
    one = draw_folds(make_cases(PEOPLE), {}, SplitSettings(), count=4)
    two = draw_folds(make_cases(PEOPLE[::-1]), {}, SplitSettings(), count=4)
    other = draw_folds(make_cases(PEOPLE), {}, SplitSettings(seed=1), count=4)

    assert one == two
    assert one != other


def test_strata_are_spread_over_the_folds():
    people = {who: {"sex": "F" if n < 7 else "M"} for n, who in enumerate(PEOPLE)}

    folds = draw_folds(make_cases(PEOPLE), people, SplitSettings(stratify_by="sex"), count=5)

    counts = [Counter(people[who]["sex"] for who in fold) for fold in folds]
    assert sorted(one["F"] for one in counts) == [1, 1, 1, 2, 2]
    assert sorted(one["M"] for one in counts) == [2, 2, 2, 2, 2]
    assert {len(fold) for fold in folds} == {3, 4}


def test_more_folds_than_people_are_refused():
    with pytest.raises(DatasetError, match="5 folds are asked for, but there are 3 people"):
        draw_folds(make_cases(PEOPLE[:3]), {}, SplitSettings(), count=5)


def test_a_table_that_divides_everybody_is_not_overruled():
    people = {who: {"split": "train"} for who in PEOPLE}

    with pytest.raises(DatasetError, match="divides everybody already"):
        draw_folds(make_cases(PEOPLE), people, SplitSettings(), count=5)


def test_folds_are_not_one_division():
    with pytest.raises(ConfigError, match="only 'medtranslate run' does cross-validation"):
        split_subjects(make_cases(PEOPLE), {}, SplitSettings(folds=3))


@pytest.mark.parametrize("other", [{"test_subjects": ("01",)}, {"val_subjects": ("01",)}])
def test_folds_and_named_people_exclude_each_other(other):
    with pytest.raises(ValidationError, match=f"{next(iter(other))} cannot be given as well"):
        SplitSettings(folds=3, **other)


def test_one_fold_is_no_cross_validation():
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        SplitSettings(folds=1)
