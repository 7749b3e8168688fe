"""Many cases, here and on worker processes, one of which dies."""

import atexit
import math
import os
import signal
import time

import pytest

from medtranslate.errors import ConfigError, DatasetError
from medtranslate.workflows import distribution
from medtranslate.workflows.attempts import Failure
from medtranslate.workflows.distribution import distribute

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")


def double(number: int) -> int:
    if number == 3:
        raise DatasetError("3 is no good")
    return 2 * number


def test_in_this_process_one_failure_does_not_stop_the_others():
    assert list(distribute(double, [1, 3, 5], cluster=None)) == [
        (0, 2),
        (1, Failure("3 is no good")),
        (2, 10),
    ]


@pytest.mark.parametrize("cluster", ["tcp://nowhere", "local", "local:0", "slurm:-1", "moon:3"])
def test_a_cluster_that_means_nothing_is_refused(cluster):
    with pytest.raises(ConfigError, match="expected tcp://HOST:PORT"):
        list(distribute(double, [1], cluster=cluster))


def test_a_worker_killed_in_the_middle_costs_nothing(two_workers):
    """Pauses of different lengths: jobs that every worker finds, and that take time."""
    first = two_workers.workers[0].pid
    seen = []

    for number, result in distribute(time.sleep, [0.2 + n / 100 for n in range(12)],
                                     cluster=two_workers.scheduler_address):  # fmt: skip
        if not seen:
            os.kill(first, signal.SIGKILL)
        seen.append((number, result))

    assert sorted(seen) == [(number, None) for number in range(12)]


def test_a_case_that_kills_every_worker_is_told(two_workers):
    two_workers.scheduler.allowed_failures = 0

    results = dict(distribute(os._exit, [0], cluster=two_workers.scheduler_address))

    assert "every worker process that tried it died" in results[0].why


def test_workers_are_started_and_stopped_for_the_call():
    results = dict(distribute(math.sqrt, [4.0, 9.0], cluster="local:1"))

    assert results == {0: 2.0, 1: 3.0}


def test_a_scheduler_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(distribution, "_CONNECT_SECONDS", 0.2)
    with pytest.raises(ConfigError, match="no Dask scheduler answers there"):
        list(distribute(double, [1], cluster="tcp://127.0.0.1:9"))


QUEUES = [("slurm", "sbatch", "scancel"), ("pbs", "qsub", "qdel")]


def make_queue(folder, monkeypatch, submit, cancel):
    """Programs that run a job at once and end it, in the place of those of a queue."""
    scripts = {submit: 'setsid sh "$1" >/dev/null 2>&1 & echo "Submitted batch job $!"',
               cancel: 'kill -- "-$1"'}  # fmt: skip
    for name, line in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(("kind", "submit", "cancel"), QUEUES)
def test_a_queue_that_cannot_be_used_is_told(kind, submit, cancel, tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue", reason="the extra 'cluster' is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=f"there is no '{submit}' here"):
        list(distribute(double, [1], cluster=f"{kind}:1"))
    make_queue(tmp_path, monkeypatch, submit, cancel)
    with pytest.raises(ConfigError, match=f"jobqueue: {kind}: cores, memory and walltime"):
        list(distribute(double, [1], cluster=f"{kind}:1"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "submit", "cancel"), QUEUES)
def test_jobs_of_a_queue_do_the_work(kind, submit, cancel, tmp_path, monkeypatch):
    dask = pytest.importorskip("dask", reason="the extra 'cluster' is not installed")
    import dask_jobqueue  # noqa: F401 - its defaults come with the import, and would go with "with"

    make_queue(tmp_path, monkeypatch, submit, cancel)
    monkeypatch.chdir(tmp_path)
    told = {f"jobqueue.{kind}.{key}": value
            for key, value in (("cores", 1), ("memory", "1GB"), ("processes", 1))}  # fmt: skip

    with dask.config.set(told):
        results = dict(distribute(math.sqrt, [4.0, 9.0, 16.0], cluster=f"{kind}:2"))

    assert results == {0: 2.0, 1: 3.0, 2: 4.0}


@pytest.mark.parametrize("cluster", [None, "local:1"])
def test_an_exception_that_nobody_expected_does_not_stop_the_others(cluster):
    results = dict(distribute(math.sqrt, [4.0, -1.0, 9.0], cluster=cluster))

    assert (results[0], results[2]) == (2.0, 3.0)
    assert "unexpected ValueError in medtranslate/workflows/attempts.py" in results[1].why


def test_a_scheduler_without_workers_is_told_and_waited_for(monkeypatch):
    told = []
    monkeypatch.setattr(distribution, "_PATIENCE_SECONDS", 0.2)
    with distributed.LocalCluster(
        n_workers=0,
        threads_per_worker=1,
        dashboard_address=None,
        host="127.0.0.1",
        scheduler_kwargs={"dashboard_address": ":0"},
    ) as empty:

        def warn(text, *values):
            told.append(text % values)
            empty.scale(1)

        monkeypatch.setattr(distribution._LOGGER, "warning", warn)
        results = dict(distribute(math.sqrt, [4.0], cluster=empty.scheduler_address))

    assert told == [f"waiting for workers of {empty.scheduler_address}: none yet"]
    assert results == {0: 2.0}


def end_slowly(seconds: float) -> None:
    """Have this process take so long to end, as on a busy machine."""
    atexit.register(time.sleep, seconds)


@pytest.mark.slow
def test_a_worker_that_takes_long_to_end_is_not_killed(caplog):
    results = dict(distribute(end_slowly, [6.0], cluster="local:1"))

    assert results == {0: None}
    assert "killing" not in caplog.text
