"""The next case is read while the one before it is worked on."""

from __future__ import annotations

import threading

import pytest

from medtranslate.errors import DatasetError
from medtranslate.workflows.read_ahead import read_ahead


def test_cases_come_in_order_and_only_the_next_one_is_read_ahead():
    read = []
    second = threading.Event()

    def note(number):
        read.append(number)
        if number == 2:
            second.set()
        return 10 * number

    cases = read_ahead([1, 2, 3, 4], note)

    assert next(cases) == 10
    assert second.wait(timeout=10)
    assert read == [1, 2]
    assert list(cases) == [20, 30, 40]


def test_an_error_appears_when_its_case_is_due():
    def read(number):
        if number == 2:
            raise DatasetError("case 2 is broken")
        return number

    cases = read_ahead([1, 2], read)

    assert next(cases) == 1
    with pytest.raises(DatasetError, match="case 2"):
        next(cases)
