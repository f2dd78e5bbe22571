"""Memory that nobody uses, given back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Let the system have what the C library keeps of freed memory, where it can be told to.

    Once large arrays were freed, glibc keeps up to 32 MB for the next (mallopt(3), M_MMAP_THRESHOLD).
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
