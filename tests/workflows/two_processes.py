"""Two processes of this machine that work together, as torchrun starts them."""

import multiprocessing
import os

import torch

from ..conftest import free_port

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["medtranslate.workflows.run"])


def run_in_two(job, *arguments, **options):
    """Exit codes of two processes that do ``job(*arguments, **options)`` together."""
    port = free_port()
    processes = [
        FORKING.Process(target=_run_as, args=(rank, port, job, arguments, options))
        for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _run_as(rank, port, job, arguments, options):
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2,
            "GROUP_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
            "TORCHELASTIC_RUN_ID": "none"}  # fmt: skip
    os.environ |= {name: str(value) for name, value in told.items()}
    torch.set_num_threads(1)
    job(*arguments, **options)
