"""Results made ahead come in order, and the thread takes no more than its core."""

import threading
from contextlib import closing
from itertools import count

import pytest
import torch

from medtranslate.data.ahead import work_ahead


def test_results_come_in_the_order_of_the_items():
    results = [done.result() for done in work_ahead(lambda n: n * n, range(7), depth=3)]

    assert results == [0, 1, 4, 9, 16, 25, 36]


def test_no_more_is_made_ahead_than_asked_for():
    begun, third = [], threading.Event()

    def work(number):
        begun.append(number)
        if number == 3:
            third.set()

    with closing(work_ahead(work, count(), depth=3)) as ahead:
        next(ahead).result()
        next(ahead).result()
        assert third.wait(10)
        most = max(begun)

    assert most == 3


def test_the_thread_computes_with_one_core_and_the_caller_with_its_own():
    cores = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with closing(work_ahead(lambda _: torch.get_num_threads(), range(2), depth=2)) as ahead:
            seen = [done.result() for done in ahead]
            mine = torch.get_num_threads()
    finally:
        torch.set_num_threads(cores)

    assert seen == [1, 1]
    assert mine == 2


def test_an_error_reaches_whoever_asks_for_that_result_and_no_other():
    with closing(work_ahead(lambda n: 6 // n, [1, 0, 3], depth=3)) as ahead:
        first, broken, last = ahead

    assert (first.result(), last.result()) == (6, 2)
    with pytest.raises(ZeroDivisionError):
        broken.result()


def test_closing_lets_the_thread_go():
    ahead = work_ahead(lambda n: n, count(), depth=2)
    next(ahead)

    ahead.close()

    assert not [t for t in threading.enumerate() if t.name.startswith("ahead")]
