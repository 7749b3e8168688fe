"""Several scans at a time, each from file to file in a thread of its own."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch

from medtranslate.data.cases import Case
from medtranslate.inference.predict import memory_limit
from medtranslate.io import read_header
from medtranslate.workflows.attempts import Failure, attempt
from medtranslate.workflows.prediction import Translator, estimate_memory

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

BYTES_BESIDE_THE_NETWORK = 100
"""What a scan takes per voxel of the model grid beside its network, from file to file."""


@dataclass(frozen=True)
class Chains:
    """How scans are worked on at a time.

    Attributes:
        count: Scans at a time.
        in_turn: Whether their networks compute one after another, each with all that there is,
            while other scans are read, prepared and written beside it.
    """

    count: int
    in_turn: bool


def plan_chains(translator: Translator, cases: Sequence[Case]) -> Chains:
    """How many scans to translate at a time, as far as the memory goes for the largest of them.

    One a core. Where there is a GPU, or memory for one network alone, one scan is prepared or
    written while another is predicted.
    """
    if translator.processor.device.type != "cpu":
        return Chains(2, in_turn=True)
    most = min(torch.get_num_threads(), len(cases))
    voxels = max((_count_voxels(translator, case) for case in cases), default=0)
    beside = voxels * BYTES_BESIDE_THE_NETWORK
    whole = voxels * estimate_memory(translator.pipeline.generator_settings) + beside
    limit = memory_limit(translator.inference, translator.processor.device)
    fitting = int(limit // max(whole, 1))
    if fitting < 2 <= most and limit >= whole + beside:
        return Chains(2, in_turn=True)
    return Chains(max(1, min(most, fitting)), in_turn=False)


def work_in_chains(
    work: Callable[[Translator, _Job], _Result],
    translator: Translator,
    jobs: Sequence[_Job],
    *,
    chains: Chains,
) -> Iterator[_Result]:
    """What ``work`` makes of each job, in order; close the iterator to let go of those to come.

    Each chain has graphs of its own, which compute with its share of the cores: with all of them,
    their threads would wait for each other after every layer. In turn, each has all of them.

    Args:
        work: Given a translator that it alone uses.
        translator: The model.
        jobs: What to work on.
        chains: How many at a time.
    """
    cores, own = torch.get_num_threads(), threading.local()
    share = cores if chains.in_turn else max(1, cores // chains.count)

    def begin() -> None:
        torch.set_num_threads(share)
        own.translator = translator.with_threads(share)

    try:
        with ThreadPoolExecutor(chains.count, "chain", begin) as pool:
            yield from pool.map(lambda job: work(own.translator, job), jobs)
    finally:
        torch.set_num_threads(cores)  # Torch gives threads to come what the last one asked for.


def _count_voxels(translator: Translator, case: Case) -> int:
    """Of the model grid, at most; 0 if the source cannot be read, which is told when it is due."""
    header = attempt(partial(read_header, case.source))
    if isinstance(header, Failure):
        return 0
    geometry = header.geometry
    spacing = translator.pipeline.preprocess.spacing or geometry.spacing
    finer = math.prod(geometry.spacing) / math.prod(spacing)
    return math.ceil(math.prod(geometry.shape) * finer)
