"""What a connection may make this node hold in memory before it is answered.

pynetdicom keeps every unit and every part of an instance until the instance is whole, however
large the sender says they are; nothing in its settings bounds that.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pynetdicom import evt

MAX_INSTANCE_BYTES = 1 << 30
"""Largest instance that is taken, as it is sent."""

_MAX_UNIT_BYTES = 1 << 20
"""Sixty times of what this node tells senders to keep to."""


@dataclass
class _BoundedReceiver:
    """Reads from a connection in place of pynetdicom's own method, as long as it keeps to bounds.

    Attributes:
        receive: Reads a number of bytes.
        max_bytes: Most between two answers.
        num_bytes: Read since the last answer.
    """

    receive: Callable[[int], bytearray]
    max_bytes: int
    num_bytes: int = 0

    def __call__(self, count: int) -> bytearray:
        self.num_bytes += count
        if count > _MAX_UNIT_BYTES or self.num_bytes > self.max_bytes:
            raise OSError("more than is taken at once")  # pynetdicom closes the connection
        return self.receive(count)


def bound_connections(max_bytes: int, *, patience_seconds: float) -> list[Any]:
    """Handlers that close a connection that sends too much, or stops in the middle of a message.

    Args:
        max_bytes: Most between two answers: one instance, with all that goes around it.
        patience_seconds: Longest silence in a message or a handshake.
    """

    def begin(event: evt.Event) -> None:
        socket: Any = event.assoc.dul.socket  # Any: a method of it is replaced
        socket.socket.settimeout(patience_seconds)
        socket.recv = _BoundedReceiver(socket.recv, max_bytes)

    def begin_anew(event: evt.Event) -> None:
        socket: Any = event.assoc.dul.socket
        if socket is not None:
            socket.recv.num_bytes = 0

    # pynetdicom types its events as two classes that a literal list does not join.
    return [(evt.EVT_CONN_OPEN, begin), (evt.EVT_DIMSE_SENT, begin_anew)]


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Keep what pynetdicom says of strangers out of the log: it quotes them, with tracebacks."""
    logger = logging.getLogger("pynetdicom")
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = before
