"""Cores that a process may use, from files like the kernel's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vit import cores
from vit.cores import available_cores, limit_torch_threads


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_bound_cores", lambda: 11)


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    for name, content in {"proc/self/cgroup": groups, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


CGROUP = "sys/fs/cgroup"


def version_1(folder: str, quota: int) -> dict[str, str]:
    name = f"{CGROUP}/{folder}/cpu.cfs"
    return {f"{name}_quota_us": f"{quota}\n", f"{name}_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {f"{CGROUP}/cpu.max": "300000 100000\n"}, 3),
        ("0::/\n", {f"{CGROUP}/cpu.max": "max 100000\n"}, 11),
        ("0::/\n", {}, 11),
        ("0::/\n", {f"{CGROUP}/cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {f"{CGROUP}/cpu.max": "299999 100000\n"}, 2),
        ("0::/\n", {f"{CGROUP}/cpu.max": "9900000 100000\n"}, 11),
        ("0::/\n", {f"{CGROUP}/cpu.max": "nonsense\n"}, 11),
        ("0::/a/b/c\n", {f"{CGROUP}/a/cpu.max": "500000 100000\n", f"{CGROUP}/a/b/c/cpu.max": "max 1\n"}, 5),
        ("0::/a/b\n", {f"{CGROUP}/a/cpu.max": "500000 100000\n", f"{CGROUP}/a/b/cpu.max": "7 1\n"}, 5),
        ("0::/other\n", {f"{CGROUP}/a/cpu.max": "500000 100000\n"}, 11),
        ("0::/docker/x\n", {f"{CGROUP}/cpu.max": "200000 100000\n"}, 2),
        ("4:memory:/\n2:cpuacct,cpu:/docker/x\n0::/\n", version_1("cpu,cpuacct", 700_000), 7),
        ("1:cpu:/job\n", version_1("cpu/job", 600_000), 6),
        ("1:cpu:/\n", version_1("cpu", -1), 11),
        ("1:cpuset:/\n", version_1("cpu", 200_000), 11),
        ("1:name=systemd:/\n0::/u\n", {f"{CGROUP}/unified/u/cpu.max": "400000 100000\n"}, 4),
    ],
)
def test_quotas_of_control_groups(tmp_path, groups, files, expected):
    assert available_cores(system(tmp_path, groups, files)) == expected


def test_without_control_groups_the_affinity_counts(tmp_path):
    assert available_cores(tmp_path) == 11


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is set on Linux alone")
def test_a_bound_process_has_one_core_and_no_torch_is_imported():
    program = (
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from vit.cores import available_cores; print(available_cores(), 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1", "False"]


def test_torch_gets_no_more_threads_than_cores(monkeypatch):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        monkeypatch.setattr(cores, "available_cores", lambda: 2)
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        limit_torch_threads()
        assert torch.get_num_threads() == 3  # as the user said
        monkeypatch.delenv("OMP_NUM_THREADS")
        limit_torch_threads()
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(cores, "available_cores", lambda: 9)
        limit_torch_threads()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
