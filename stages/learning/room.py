"""How much memory is at hand: the device's, or the host's as far as a container lets us use it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class Room:
    """Memory that a run may still take.

    Attributes:
        free: bytes.
        what: whose memory it is, and what bounds it.
    """

    free: int
    what: str


def free_on(device: torch.device) -> Room:
    """Return the memory that is free now on the device: on the CPU the host's, or less where a cgroup allows less."""
    if device.type == "cuda":
        return Room(int(torch.cuda.mem_get_info(device)[0]), torch.cuda.get_device_name(device))
    free = psutil.virtual_memory().available
    left = left_in_cgroups()
    if left is not None and left < free:
        return Room(left, "this host's memory, by the limit of its cgroup")
    return Room(free, "this host's memory")


def left_in_cgroups(own: Path = OWN, cgroups: Path = CGROUPS) -> int | None:
    """Return what the tightest memory limit of this process's cgroups, of either version, leaves; None without one."""
    left = [room for folder in _folders(own, cgroups) if (room := _left(folder)) is not None]
    return min(left, default=None)


def _folders(own: Path, cgroups: Path) -> Iterator[Path]:
    """Yield the folders of this process's memory cgroups, each with those above it: every limit holds."""
    try:
        lines = own.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = cgroups / "memory" if controllers else cgroups
        inside = (top / path.lstrip("/"), *(top / path.lstrip("/")).parents)
        # within a container, the path is the host's and the limit lies at the top
        yield from (folder for folder in inside if folder.is_relative_to(top))


def _left(folder: Path) -> int | None:
    """Return what a cgroup's limit leaves, pages of files that the kernel would give up counted as free."""
    for limit_name, used_name, inactive in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            limit, used = int((folder / limit_name).read_text()), int((folder / used_name).read_text())
            told = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # not there, or `max`: no limit
            continue
        return max(0, limit - used + int(told.get(inactive, 0)))
    return None
