"""Requests to stop (Ctrl-C, SIGTERM) that wait until what matters is saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

_WATCHED = (signal.SIGINT, signal.SIGTERM)


class StopRequested(KeyboardInterrupt):
    """Somebody asked to stop, and what matters is saved or need not be.

    Attributes:
        signal: Which signal asked.
    """

    def __init__(self, number: int, text: str = "") -> None:
        """Keep the number of the signal, and what to tell the person."""
        super().__init__(text)
        self.signal = number


class StopWatch:
    """Notes the first request to stop; a second Ctrl-C interrupts at once.

    Inside ``with StopWatch() as watch`` the work goes on after the first signal, and calls
    :meth:`check` where it can stop. Where the program does not run in the main thread, signals are
    left to whoever owns them.
    """

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._asked: int | None = None
        self._may_be_dropped = False
        self._before: dict[signal.Signals, Any] = {}  # handlers, as the signal module has them

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {one: signal.signal(one, self._note) for one in _WATCHED}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    @property
    def asked(self) -> int:
        """Number of the signal by which somebody asked to stop; 0 if nobody did."""
        return self._asked or 0

    def check(self) -> None:
        """Stop here if somebody asked for it.

        Raises:
            StopRequested: If somebody did.
        """
        if self._asked is not None:
            raise StopRequested(self._asked)

    @contextlib.contextmanager
    def droppable(self) -> Iterator[None]:
        """Work that a request to stop ends at once, by :class:`StopRequested`."""
        self.check()
        self._may_be_dropped = True
        try:
            yield
        finally:
            self._may_be_dropped = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = number
        if self._may_be_dropped:
            raise StopRequested(number)


@contextlib.contextmanager
def terminate_politely() -> Iterator[None]:
    """SIGTERM raises :class:`StopRequested`, so that temporary files are cleared on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise(number: int, frame: FrameType | None) -> None:
    raise StopRequested(number)
