"""Free is what the machine and the process's group leave; errors for want of memory are known."""

import numpy as np
import pytest
import torch

from medtranslate.inference.memory import free_bytes, is_out_of_memory

CPU = torch.device("cpu")


def make_root(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


MACHINE = {"proc/meminfo": "MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable:    5000 kB\n"}
OLD = {
    "proc/self/cgroup": "3:cpu:/job\n2:memory:/job/step\n",
    "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "3000000\n",
    "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "1000000\n",
    "sys/fs/cgroup/memory/job/memory.stat": "inactive_file 5\ntotal_inactive_file 200000\n",
}
NEW = {
    "proc/self/cgroup": "0::/job\n",
    "sys/fs/cgroup/job/memory.max": "max\n",
    "sys/fs/cgroup/job/memory.current": "1\n",
    "sys/fs/cgroup/job/memory.stat": "inactive_file 0\n",
    "sys/fs/cgroup/memory.max": "800000\n",
    "sys/fs/cgroup/memory.current": "500000\n",
    "sys/fs/cgroup/memory.stat": "anon 3\ninactive_file 100000\n",
}


@pytest.mark.parametrize(
    ("group", "expected"), [({}, 5000 * 1024), (OLD, 2_200_000), (NEW, 400_000)]
)
def test_the_least_of_machine_and_groups_is_free(group, expected, tmp_path):
    assert free_bytes(CPU, root=make_root(tmp_path, MACHINE | group)) == expected


def test_here_some_memory_is_free():
    assert 10**7 < free_bytes(CPU) < 10**14


@pytest.mark.parametrize("ask", [torch.empty, np.empty])
def test_errors_for_want_of_memory_are_known(ask):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        ask(10**15)

    assert is_out_of_memory(caught.value)


def test_other_errors_are_not_for_want_of_memory():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA"))
    assert not is_out_of_memory(RuntimeError("the sizes of the tensors differ"))
    assert not is_out_of_memory(ValueError("out of memory"))
