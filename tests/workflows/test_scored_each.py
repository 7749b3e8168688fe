"""People made ready to be scored: in order, one ahead, and each failure in its place."""

import threading
from pathlib import Path

import pytest

from medtranslate.data.cases import Case
from medtranslate.errors import DatasetError, VolumeReadError
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.scored_case import UnscoredCase
from medtranslate.workflows.scored_each import make_each

CASES = [
    Case(name=f"toy_{n}", dataset="toy", subject=f"toy/{n}", session=None, source=Path(f"Doe{n}"))
    for n in range(3)
]


def make(*, prepare=lambda case: case.name, check=lambda *_: None, predict=lambda _, name: name):
    return make_each(CASES, prepare=prepare, check=check, predict=predict, progress=NoProgress())


def test_the_next_one_is_made_while_the_one_before_is_scored():
    second = threading.Event()

    def predict(_, name):
        if name == "toy_1":
            second.set()
        return name

    made = make(predict=predict)

    assert next(made) == "toy_0"
    assert second.wait(timeout=10)
    assert list(made) == ["toy_1", "toy_2"]


@pytest.mark.parametrize("step", ["prepare", "predict"])
def test_who_fails_is_told_in_his_place_without_the_name_of_a_file(step):
    def fail(case, *_):
        if case.name == "toy_1":
            raise VolumeReadError(f"{case.source}: ends too early")
        return case.name

    assert list(make(**{step: fail})) == [
        "toy_0",
        UnscoredCase("toy_1", "ends too early"),
        "toy_2",
    ]


def test_a_case_that_nobody_may_score_ends_everything():
    def check(case, _):
        if case.name == "toy_1":
            raise DatasetError("was trained on")

    made = make(check=check)

    assert next(made) == "toy_0"
    with pytest.raises(DatasetError, match="trained on"):
        next(made)
