"""Which of the processes that train one network together this one is: `torchrun` tells each by its environment."""

from __future__ import annotations

import os
from dataclasses import dataclass

TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that `torchrun` started.

    Attributes:
        rank: its number, from 0.
        count: how many there are.
        local_rank: its number among those of this machine.
        local_count: how many of them are on this machine, and share its memory.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1


def ranks() -> Processes:
    """Return what `torchrun` told; without it, this process is alone."""
    if not all(os.environ.get(name) for name in TOLD):
        return Processes()
    rank, count, local_rank = (int(os.environ[name]) for name in TOLD[:3])
    local_count = int(os.environ.get("LOCAL_WORLD_SIZE") or 1)  # whoever sets the others by hand may leave it out
    return Processes(rank, count, local_rank, local_count)
