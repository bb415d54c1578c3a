"""Keep freed memory in the process: on Linux CPUs, handing it back costs more than the arithmetic.

glibc returns large blocks to the system at once, and every step then faults the same pages in again.
Set SIGMAE_KEEP_MEMORY=0 to leave the allocator alone.
"""

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGE = 1 << 30


def keep_memory() -> bool:
    """Raise glibc's thresholds for this process; whether that was done."""
    if sys.platform != "linux" or os.environ.get("SIGMAE_KEEP_MEMORY") == "0":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE)) and bool(mallopt(M_TRIM_THRESHOLD, LARGE))
