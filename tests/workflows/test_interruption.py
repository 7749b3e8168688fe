"""Requests to stop wait for a good moment."""

import os
import signal
import threading

import pytest

from medtranslate.workflows.interruption import StopRequested, StopWatch, terminate_politely

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
def test_work_goes_on_until_it_asks(number):
    with StopWatch() as watch:
        watch.check()
        os.kill(os.getpid(), number)
        done = sum(range(10))
        with pytest.raises(StopRequested) as caught:
            watch.check()

    assert done == 45
    assert caught.value.signal == number


@pytest.mark.parametrize("number", SIGNALS)
def test_work_that_may_be_dropped_ends_at_once(number):
    with StopWatch() as watch, pytest.raises(StopRequested) as caught, watch.droppable():
        os.kill(os.getpid(), number)

    assert caught.value.signal == number


def test_a_second_ctrl_c_interrupts_and_a_second_sigterm_does_not():
    with StopWatch():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt) as caught:
            os.kill(os.getpid(), signal.SIGINT)

    assert not isinstance(caught.value, StopRequested)


def test_handlers_come_back(tmp_path):
    before = [signal.getsignal(one) for one in SIGNALS]
    with StopWatch(), terminate_politely():
        assert [signal.getsignal(one) for one in SIGNALS] != before

    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_sigterm_unwinds_as_ctrl_c_does():
    with pytest.raises(StopRequested) as caught, terminate_politely():
        os.kill(os.getpid(), signal.SIGTERM)

    assert caught.value.signal == signal.SIGTERM


def test_other_threads_leave_signals_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with StopWatch() as watch, terminate_politely():
            watch.check()
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [before]
