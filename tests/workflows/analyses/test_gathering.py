"""What was seen of several groups of cases is united as if one had seen them all."""

from types import SimpleNamespace

import numpy as np
import pytest

from medtranslate.workflows.analyses.dose import DoseAnalysis, _DepthMaps
from medtranslate.workflows.analyses.gathering import unite
from medtranslate.workflows.analyses.tally import Column, Tally


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ({"a": {"x": 1}}, {"a": {"y": 2}, "b": {"x": 3}}, {"a": {"x": 1, "y": 2}, "b": {"x": 3}}),
        ({"why": ["case1"]}, {"why": ["case2"]}, {"why": ["case1", "case2"]}),
        ({"one"}, {"two"}, {"one", "two"}),
        (20, 0, 20),
        (0, 20, 20),
        (None, (1,), (1,)),
    ],
)
def test_groups_are_united_in_their_order(first, second, both):
    united = unite(first, second)

    assert united == both
    if isinstance(both, dict):
        assert list(united) == list(both)


def test_uniting_leaves_both_groups_as_they_were():
    first, second = {"a": {"x": [1]}}, {"a": {"x": [2]}}

    assert unite(first, second) == {"a": {"x": [1, 2]}}
    assert (first, second) == ({"a": {"x": [1]}}, {"a": {"x": [2]}})


def test_tallies_of_some_cases_each_are_one_of_all():
    together, *apart = (Tally(("region",), [Column("mae", "MAE", 2)]) for _ in range(3))
    for number, tally in enumerate(apart):
        case = SimpleNamespace(name=f"case{number}", subject=f"person{number}")
        for one in (tally, together):
            one.add(case, "cgan", ("bone",), {"mae": number + 0.5})

    apart[0].take(apart[1].seen)

    assert apart[0].to_csv() == together.to_csv()
    assert apart[0].seen == together.seen


@pytest.mark.parametrize("sizes", [(1.0, 2.0), (2.0, 1.0)])
def test_the_worst_case_of_all_is_shown(sizes):
    analysis = DoseAnalysis()
    for number, size in enumerate(sizes):
        part = DoseAnalysis()
        part._worst = _DepthMaps(f"case{number}", size, 1.0, {"0": np.zeros((2, 2))})
        analysis.take(part.seen)
    analysis.take(DoseAnalysis().seen)

    assert analysis._worst.size_mm == 2.0
