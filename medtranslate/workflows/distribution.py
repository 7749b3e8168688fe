"""One job for each of many cases: in this process, or on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from medtranslate.errors import ConfigError, MissingExtraError
from medtranslate.workflows.attempts import Failure, attempt

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

_LOGGER = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

_QUEUES = {"slurm": ("SLURMCluster", "sbatch"), "pbs": ("PBSCluster", "qsub")}
"""Class of dask-jobqueue, and the program that hands a job in."""

_ANY_PORT = {"dashboard_address": ":0"}
"""A scheduler serves its state by HTTP; where several run, each at a free port."""

_CONNECT_SECONDS = 30
_CLOSE_SECONDS = 60
_PATIENCE_SECONDS = 5
"""A wait for workers that lasts longer is told."""

_DIED = (
    "every worker process that tried it died: ended from outside, or by the system for want of"
    " memory. See the workers' logs, and give them more memory"
)


def distribute(
    job: Callable[[Item], Result], items: Sequence[Item], *, cluster: str | None
) -> Iterator[tuple[int, Result | Failure]]:
    """Do a job for each item; one that fails, in whatever way, does not stop the others.

    Args:
        job: A function of a module, so that other processes can find it; what it takes and returns
            is plain data.
        items: What to do it for.
        cluster: ``tcp://HOST:PORT`` of a Dask scheduler, ``local:N``, ``slurm:N`` or ``pbs:N`` for
            N workers started for this call; this process if None.

    Yields:
        Number of the item and its result, as they come.

    Raises:
        ConfigError: If the cluster cannot be understood or reached.
        MissingExtraError: If Dask is not installed.
    """
    if cluster is None:
        yield from ((number, attempt(partial(job, item))) for number, item in enumerate(items))
        return
    with connect_cluster(cluster) as client:
        numbers = {
            client.submit(attempt, partial(job, item), pure=False): number
            for number, item in enumerate(items)
        }
        if numbers:
            _tell_waiting(client, cluster)
        yield from _gather(numbers)


def _tell_waiting(client: Client, cluster: str) -> None:
    """Say so where no worker is there to begin; the work waits for the first all the same."""
    try:
        client.wait_for_workers(1, timeout=_PATIENCE_SECONDS)
    except TimeoutError:
        _LOGGER.warning("waiting for workers of %s: none yet", cluster)


def _gather(
    numbers: Mapping[Future[Result | Failure], int],
) -> Iterator[tuple[int, Result | Failure]]:
    """What became of each item as it comes; exceptions that come here are of Dask, not of a job."""
    from distributed import KilledWorker, as_completed

    for future in as_completed(numbers):
        error = future.exception()
        if error is None:
            yield numbers[future], future.result()
        elif isinstance(error, KilledWorker):
            yield numbers[future], Failure(_DIED)
        else:
            raise error
        future.release()


@contextlib.contextmanager
def connect_cluster(cluster: str) -> Iterator[Client]:
    """A client of the cluster that ``cluster`` means; see :func:`distribute`."""
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtraError("distributed", "cluster") from None
    with _find_cluster(cluster) as address:
        try:
            client = Client(address, timeout=_CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(
                f"--cluster {cluster}: no Dask scheduler answers there ({error}). Start one with"
                " 'dask scheduler' and workers with 'dask worker'"
            ) from error
        with client:
            yield client


@contextlib.contextmanager
def _find_cluster(cluster: str) -> Iterator[Any]:  # Any: an address, or a cluster of Dask
    if re.match(r"^(tcp|tls)://.+:\d+$", cluster):
        yield cluster
        return
    kind, _, count = cluster.partition(":")
    if kind not in ("local", *_QUEUES) or not re.match(r"^[1-9]\d{0,4}$", count):
        raise ConfigError(
            f"--cluster {cluster}: expected tcp://HOST:PORT of a Dask scheduler, or local:N,"
            " slurm:N or pbs:N to start N workers"
        )
    with _start_cluster(kind, int(count)) as started:
        yield started
        if kind == "local":
            started.sync(_close_workers, started)


async def _close_workers(cluster: LocalCluster) -> None:
    """End the workers, which have large libraries to take down; Dask would kill them after 4 s."""
    await asyncio.gather(*(one.close(timeout=_CLOSE_SECONDS) for one in cluster.workers.values()))


def _start_cluster(kind: str, count: int) -> Any:  # Any: dask-jobqueue ships no types
    if kind == "local":
        from distributed import LocalCluster

        return LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            dashboard_address=None,
            scheduler_kwargs=_ANY_PORT,
        )
    try:
        import dask
        import dask_jobqueue
    except ImportError:
        raise MissingExtraError("dask-jobqueue", "cluster") from None
    name, program = _QUEUES[kind]
    if shutil.which(program) is None:
        raise ConfigError(
            f"--cluster {kind}:{count}: there is no '{program}' here; call it on a machine where"
            " jobs can be handed in"
        )
    told = dask.config.get(f"jobqueue.{kind}")
    if told.get("cores") is None or told.get("memory") is None:
        raise ConfigError(
            f"--cluster {kind}:{count}: nothing says what a job gets. Write jobqueue: {kind}:"
            " cores, memory and walltime into ~/.config/dask/jobqueue.yaml"
        )
    options = {**_ANY_PORT, **(told.get("scheduler-options") or {})}
    queue = getattr(dask_jobqueue, name)(scheduler_options=options)
    queue.scale(jobs=count)
    return queue
