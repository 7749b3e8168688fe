"""How much memory there is, and whether an error says that there is too little."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import torch

_ROOT = Path("/")


def free_bytes(device: torch.device, *, root: Path = _ROOT) -> int:
    """Memory that a new allocation can have, in bytes.

    On the CPU what the kernel calls available (the page cache can be given up), or what is left of
    the limit of this process's control group, which a container or a queue sets, if that is less.

    Args:
        device: Where the memory is.
        root: Where ``/proc`` and ``/sys`` lie.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return max(0, min([_available_bytes(root), *_left_to_group(root)]))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, OpenVINO or NumPy asked for more memory than there is."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and bool(
        re.search(r"can't allocate memory|std::bad_alloc|out of memory", said, re.IGNORECASE)
    )


def _available_bytes(root: Path) -> int:
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii")
    except OSError:  # no Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    if found is None:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(found[1]) * 1024


def _left_to_group(root: Path) -> Iterator[int]:
    """Limit less use of this process's group and those above it; nothing where none is set."""
    for folder, limit, used in _group_folders(root):
        try:
            most = (folder / limit).read_text(encoding="ascii").strip()
            use = int((folder / used).read_text(encoding="ascii"))
            stat = (folder / "memory.stat").read_text(encoding="ascii")
        except (OSError, ValueError):
            continue
        # The file cache counts as used, and is given up when memory is short.
        caches = re.findall(r"^(?:total_)?inactive_file (\d+)$", stat, re.MULTILINE)
        if most.isdigit():
            yield int(most) - use + max(map(int, caches), default=0)


def _group_folders(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Folders of the group, the first and the second version's, and their files' names."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if "memory" in kinds.split(","):
            base, names = root / "sys/fs/cgroup/memory", "limit_in_bytes usage_in_bytes"
        elif not kinds:
            base, names = root / "sys/fs/cgroup", "max current"
        else:
            continue
        limit, used = (f"memory.{name}" for name in names.split())
        inside = Path(path.lstrip("/"))
        for part in (inside, *inside.parents):
            yield base / part, limit, used
