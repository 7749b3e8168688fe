"""People made ready to be scored: in order, one ahead, and each failure in its place."""

import threading
from pathlib import Path

from medtranslate.data.cases import Case
from medtranslate.errors import VolumeReadError
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.scored_case import UnscoredCase
from medtranslate.workflows.scored_each import make_each

CASES = [
    Case(name=f"toy_{n}", dataset="toy", subject=f"toy/{n}", session=None, source=Path(f"Doe{n}"))
    for n in range(3)
]


def test_the_next_one_is_made_while_the_one_before_is_scored():
    second = threading.Event()

    def make(case):
        if case.name == "toy_1":
            second.set()
        return case.name

    made = make_each(CASES, make, progress=NoProgress())

    assert next(made) == "toy_0"
    assert second.wait(timeout=10)
    assert list(made) == ["toy_1", "toy_2"]


def test_who_fails_is_told_in_his_place_without_the_name_of_a_file():
    def make(case):
        if case.name == "toy_1":
            raise VolumeReadError(f"{case.source}: ends too early")
        return case.name

    assert list(make_each(CASES, make, progress=NoProgress())) == [
        "toy_0",
        UnscoredCase("toy_1", "ends too early"),
        "toy_2",
    ]
