"""Memory that the C library keeps from one training step to the next."""

import ctypes

# /usr/include/malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have glibc keep what is freed, for this process and until it ends; True where it does.

    As it comes it takes each block above 32 MB from the kernel and gives it back when it is freed, so every
    step waits for the kernel to clear the same pages again (docs/performance.md has the measurement). Where
    the C library is another, nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, LARGEST_INT))
