"""glibc keeps freed memory for the process."""

import platform
import subprocess
import sys

import pytest

FREED = """
import sys
import torch
from vit.training.memory import keep_freed_memory

def resident():
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * 4096

if sys.argv[1] == "kept":
    assert keep_freed_memory()
torch.ones(2)
before = resident()
torch.ones(2**26)  # 268 MB, freed at once
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_freed_memory_stays_with_the_process() -> None:
    def held(case: str) -> int:
        ended = subprocess.run(
            [sys.executable, "-c", FREED, case], capture_output=True, text=True, check=True
        )
        return int(ended.stdout)

    assert held("usual") < 2e8 < held("kept")
