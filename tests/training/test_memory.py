"""Memory is kept between steps where the C library can be told to."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from vit.training.memory import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
for _ in range(2):
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_the_kernel_clears_a_page_once() -> None:
    def faults(word: str) -> int:
        found = subprocess.run(
            [sys.executable, "-c", FAULTS, word], capture_output=True, text=True, check=True
        )
        return int(found.stdout)

    usual, kept = faults("usual"), faults("kept")
    assert usual > 100, usual  # 64 MB eight times, in pages of 4 kB to 2 MB
    assert kept < usual / 10, (usual, kept)
