"""The processes that train one network together: alone by default, several under `torchrun`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from stages.learning.normed import synchronised
from stages.learning.order import Places, shared


@dataclass(frozen=True, slots=True)
class Ranks:
    """How many processes there are, and which of them this one is.

    Attributes:
        rank: from 0.
        count: 1 or more.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def share(self, batch: Places) -> Places:
        """Return this process's part of a batch; nothing for some, where there are more processes than images."""
        return shared(batch, self.count)[self.rank] if self.count > 1 else batch

    def joined(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Return the network, its gradients and batch statistics taken over all processes."""
        if self.count == 1:
            return network
        whole = synchronised(network, device)
        # gradients are views of what is sent: no copy; every weight gets a gradient in each step
        return DistributedDataParallel(whole, gradient_as_bucket_view=True)

    def summed(self, numbers: Sequence[float]) -> list[float]:
        """Return the sums over all processes."""
        if self.count == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64)
        parts: list[list[float]] = [[] for _ in range(self.count)]
        distributed.all_gather_object(parts, total.tolist())
        # added up here in the order of the ranks, so that all processes come to the same bits
        return [sum(values) for values in zip(*parts, strict=True)]

    def gathered(self, part: torch.Tensor) -> torch.Tensor:
        """Return the parts of all processes, one after the other."""
        if self.count == 1:
            return part
        parts: list[torch.Tensor | None] = [None] * self.count
        distributed.all_gather_object(parts, part)
        return torch.cat([found for found in parts if found is not None])

    def unsent(self, network: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        """Return a context in which gradients are added up here alone, but for the last part of a batch."""
        if last or not isinstance(network, DistributedDataParallel):
            return nullcontext()
        return network.no_sync()


@contextmanager
def together(rank: int, count: int, device: torch.device) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, which told each by its environment where the others are."""
    if count == 1:
        yield Ranks()
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=rank, world_size=count)
    try:
        yield Ranks(rank, count)
    finally:
        distributed.destroy_process_group()
