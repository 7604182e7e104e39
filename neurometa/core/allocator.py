"""Memory: how the C library hands it out, which decides a fifth of the time of a large step on CPU."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of mallopt(3)'s parameters in glibc's malloc.h."""


def keep_memory() -> bool:
    """Let the process keep what it frees, so that the next step's large arrays need no fresh pages from the system.

    By default glibc gives large blocks back at once and asks for them again, and the system clears every page anew. Call it before the
    first large array; the process then stays at its peak size. It changes speed only.

    Returns:
        Whether it took effect: only with glibc, on Linux.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    largest = bool(mallopt(MMAP_THRESHOLD, 1 << 30)) or bool(mallopt(MMAP_THRESHOLD, 1 << 25))  # older versions allow 32 MB at most
    return bool(mallopt(TRIM_THRESHOLD, -1)) and largest
