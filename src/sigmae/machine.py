"""What the machine lacks, in a sentence: room on the disk, memory, a right to write."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from sigmae.errors import SigmaeError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_MEMORY = re.compile(r"out of memory|can't allocate memory|cannot allocate memory|ALLOC_FAILED", re.IGNORECASE)


def explained(error: BaseException) -> str:
    """The sentence for an error that says what the machine lacks, or refuses; "" for any other."""
    if is_out_of_memory(error):
        return "Out of memory; what was written before is whole: free some, or take fewer or smaller images."
    if not isinstance(error, OSError) or error.errno is None:
        return ""
    if error.errno in FULL:
        return (
            f"No space left to write {error.filename or 'a file'}; what was written before is whole: "
            "free some space, and the same command continues."
        )
    return f"{error.strerror}: {error.filename}." if error.filename is not None else f"{error.strerror}."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, numpy or one of torch's allocators had no memory to give."""
    told = isinstance(error, RuntimeError | OSError) and NO_MEMORY.search(str(error)) is not None
    return told or isinstance(error, MemoryError)


@contextmanager
def memory_explained(remedy: str) -> Iterator[None]:
    """Tell what to do where there is not enough memory for a block."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise SigmaeError(f"Out of memory. {remedy}") from error
