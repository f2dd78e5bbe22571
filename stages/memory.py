"""The memory of processes: given back where nobody uses it, and the most that one has had."""

from __future__ import annotations

import ctypes
import re
from contextlib import suppress
from pathlib import Path


def give_back() -> None:
    """Let the system have what the C library keeps of freed memory, where it can be told to.

    Once large arrays were freed, glibc keeps up to 32 MB for the next (mallopt(3), M_MMAP_THRESHOLD).
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def peak_bytes(process: str = "self") -> int | None:
    """Return the largest resident memory that a process has had; None where the system does not tell.

    Linux tells it under /proc (proc(5), VmHWM). Its getrusage would do for this process, but begins with what the
    process that started this one held.

    Args:
        process: its number, or `self`.
    """
    with suppress(OSError):
        told = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text("utf-8"), re.MULTILINE)
        return int(told[1]) * 1024 if told else None
    return None
