"""Work done ahead by a thread, so that whoever needs the results does not wait for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def work_ahead(
    work: Callable[[_Item], _Result], items: Iterable[_Item], *, depth: int
) -> Generator[Future[_Result], None, None]:
    """Results of ``work`` for each item, in order, up to ``depth`` of them made ahead.

    The thread computes with one processor core: with as many as the caller, each would wait for
    the other's cores in every operation. Close the generator to let the thread go.

    Args:
        work: Called in the thread, one item at a time.
        items: May be endless.
        depth: How many items may be finished or in work while the caller has not asked for them.

    Yields:
        One future an item, whose ``result()`` waits, and raises what ``work`` raised.

    Example:
        >>> sum(done.result() for done in work_ahead(abs, [-1, -2, 3], depth=2))
        6
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as worker:
        _use_one_core(worker)
        waiting = iter(items)
        ahead = deque(worker.submit(work, item) for item in islice(waiting, depth))
        try:
            while ahead:
                yield ahead.popleft()
                ahead.extend(worker.submit(work, item) for item in islice(waiting, 1))
        finally:
            for future in ahead:
                future.cancel()


def _use_one_core(worker: ThreadPoolExecutor) -> None:
    """Torch keeps a number of cores for each thread that has asked, and one for those to come."""
    cores = torch.get_num_threads()
    worker.submit(torch.set_num_threads, 1).result()
    worker.submit(torch.get_num_threads).result()
    torch.set_num_threads(cores)
