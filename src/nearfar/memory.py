"""Memory that the process keeps between allocations, and gives back between steps.

Asking the system for memory costs: each page is cleared at its first touch. The C library hands
large tensors back at once and asks anew for the next ones; told to keep them, a step of 13,000
tokens took 1.75 s instead of 1.93 to 2.3 (LOG.md).
"""

import ctypes
import ctypes.util
import functools
from typing import Any

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # glibc's names for mallopt
_MB = 2**20


def keep_memory() -> None:
    """Let the C library keep what is freed, where it can (glibc), until it is told otherwise."""
    mallopt = getattr(_library(), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_MMAP_THRESHOLD, 32 * _MB)  # the most that it takes
    mallopt(_TRIM_THRESHOLD, 1024 * _MB)
    mallopt(_TOP_PAD, 64 * _MB)


def give_back_memory() -> None:
    """Return freed memory to the system, where the C library can (glibc).

    Each step allocates tensors of other sizes, and what they leave between them adds up: on
    python-docs the process had grown to 2.9 GB after 18 steps, and to 2.2 GB with this (LOG.md).
    """
    trim = getattr(_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


@functools.cache
def _library() -> Any:
    name = ctypes.util.find_library("c")
    return ctypes.CDLL(name) if name else None
