"""Processors and memory, as far as a container lets us use them."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import psutil

from stages.checkup.finding import Finding

QUOTAS = Path("/sys/fs/cgroup/cpu.max")
SHARED = Path("/dev/shm")  # noqa: S108 - where processes share memory; nothing is written there
WORKER_MB = 250  # a worker of any stage has 110 to 150 MB, and more for a film of many pixels (docs/performance.md)
PARENT_MB = 400
LEAST_SHARED_MB = 100
GB, MB = 1e9, 1e6


def cores() -> int:
    """Return how many processors this process may use: as many workers a run has unless told otherwise."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processors(quotas: Path = QUOTAS) -> Finding:
    """Return how many processors a run may use, and whether a quota gives less."""
    found = f"{cores()} of {os.cpu_count()}, {platform.machine()}"
    granted = quota(quotas)
    if granted is not None and granted < cores():
        most = max(1, math.floor(granted))
        return Finding("processors", f"{found}; the container grants {granted:g}", "slow", f"--jobs {most}")
    return Finding("processors", found)


def quota(quotas: Path = QUOTAS) -> float | None:
    """Return the processors that this process's container grants (cgroup v2, cpu.max); None without a limit."""
    try:
        most, period = quotas.read_text().split()
        return int(most) / int(period)
    except (OSError, ValueError):  # no Linux, another version, or `max`: no limit
        return None


def memory(free: int, what: str, workers: int) -> Finding:
    """Return how much memory is free, and whether so many workers fit into it.

    Args:
        free: bytes.
        what: whose they are.
        workers: of a run.
    """
    found = f"{free / GB:.1f} GB free of {psutil.virtual_memory().total / GB:.1f}: {what}"
    needed = (PARENT_MB + workers * WORKER_MB) * MB
    if free < needed:
        most = max(1, int((free / MB - PARENT_MB) // WORKER_MB))
        told = f"{workers} workers may take {needed / GB:.1f} GB: --jobs {most}"
        return Finding("memory", found, "slow", told)
    return Finding("memory", found)


def shared_memory(shared: Path = SHARED) -> Iterator[Finding]:
    """Yield how much memory processes can share, where that is bounded: containers give 64 MB unless told."""
    if not shared.is_dir():
        return
    free = psutil.disk_usage(str(shared)).free
    tight = free < LEAST_SHARED_MB * MB
    advice = "DataLoader's workers need more: start the container with --shm-size=2g" if tight else ""
    yield Finding("shared memory", f"{free / GB:.2f} GB free", "slow" if tight else "ok", advice)
