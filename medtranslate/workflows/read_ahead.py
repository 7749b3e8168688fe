"""Read the next case while the one before it is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Case = TypeVar("Case")


def read_ahead(items: Iterable[Item], read: Callable[[Item], Case]) -> Iterator[Case]:
    """What ``read`` makes of each item, in order; the next is read in a thread meanwhile.

    Two cases are in memory at a time. An error of ``read`` appears when its case is due.

    Args:
        items: What to read.
        read: Reads one.

    Example:
        >>> list(read_ahead([1, 2, 3], lambda number: 10 * number))
        [10, 20, 30]
    """
    pending: deque[Future[Case]] = deque()
    with ThreadPoolExecutor(1) as reader:
        for item in items:
            pending.append(reader.submit(read, item))
            if len(pending) > 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
