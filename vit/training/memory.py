"""A setting of the C library's allocator that makes training steps on a CPU faster."""

import ctypes

# /usr/include/malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for this process's next allocations; False if the C library is another.

    By default glibc maps each block above 32 MB anew and unmaps it when it is freed, so every step waits for
    the kernel to clear the same pages again (docs/performance.md has the measurement). The setting lasts as
    long as the process.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, LARGEST_INT))
