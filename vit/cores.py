"""The cores that this process may use. Imports no torch."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

# Where the controller of CPU time is mounted, below /sys/fs/cgroup: version 1 on its own or together with the
# accounting, version 2 beside version 1.
VERSION_1 = ("cpu", "cpu,cpuacct", "cpuacct,cpu")
VERSION_2 = ("", "unified")


def available_cores(root: Path = Path("/")) -> int:
    """The number of cores that this process may use, at least 1.

    It is the smaller of two: the cores that the process is bound to (`taskset`, SLURM,
    `docker --cpuset-cpus`; else all of the machine), and the seconds of CPU per second that its control
    groups grant it (`docker --cpus`, a limit in Kubernetes). These are rounded down: with a thread too many,
    the kernel would stop one while the others wait for it.

    Args:
        root: The folder that has `proc` and `sys`.
    """
    return max(1, min([_bound_cores(), *map(int, _quotas(root))]))


def limit_torch_threads() -> None:
    """Give torch no more threads than there are cores: it follows `taskset`, but not control groups.

    OMP_NUM_THREADS, where it is set, is the user's choice and stays.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > available_cores():
        torch.set_num_threads(available_cores())


def _bound_cores() -> int:
    """Cores of the machine that the process is bound to."""
    count = getattr(os, "process_cpu_count", None)  # from Python 3.13; PYTHON_CPU_COUNT can lower it
    if count is not None:
        return count() or 1
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """The limits, in cores, of the process's control groups and of the groups that these are in.

    In a container the file system often begins at the container's own group, while `/proc/self/cgroup` names
    it from the machine's: then only the outermost folder exists, and it has the limit.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")  # number:controllers:path
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = PurePosixPath(path.lstrip("/"))
        for mount in VERSION_1 if controllers else VERSION_2:
            for folder in (group, *group.parents):
                quota = _quota(root / "sys/fs/cgroup" / mount / folder, version_1=bool(controllers))
                if quota is not None:
                    yield quota


def _quota(folder: Path, *, version_1: bool) -> float | None:
    """Cores that one control group grants; None where it sets no limit."""
    if version_1:
        words = [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    else:
        words = _text(folder / "cpu.max").split()
    try:
        quota, period = map(int, words)
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
