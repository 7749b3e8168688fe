"""Measure ways of doing one thing in turn, on one machine, and say how sure the figures are."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medtranslate.provenance import git_commit, software_versions


def alternate(
    ways: Mapping[str, Callable[[], object]], *, repeats: int, warm_up: bool = True
) -> dict[str, Any]:
    """Seconds of each way, run one after another ``repeats`` times, after one run to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values() if warm_up else ():
        way()
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    return {name: summarise(values) for name, values in seconds.items()}


def summarise(seconds: list[float]) -> dict[str, float]:
    """Median and the two ends."""
    return {"median": float(np.median(seconds)), "min": min(seconds), "max": max(seconds)}


def fit_exponent(sizes: list[float], seconds: list[float]) -> float:
    """The power of size with which time grows."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, load and versions; no name of the machine."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch_threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "load_before": os.getloadavg()[0],
        "commit": git_commit(),
        "versions": software_versions(),
    }
