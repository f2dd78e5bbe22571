"""Where batches come from: what a set offers, and sets that lie in memory."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch

from stages.learning.order import Places
from stages.learning.prefetch import Batch, copied_ahead, prefetched

AHEAD = 4  # batches that are ready before they are asked for


class Source(Protocol):
    """Images and their classes.

    Attributes:
        labels: int64 (images,), on the CPU.
    """

    @property
    def labels(self) -> torch.Tensor: ...  # noqa: D102 - the class says it

    def __len__(self) -> int: ...

    def batches(self, chosen: Iterable[Places], *, epoch: int = 1) -> Generator[Batch, None, None]:
        """Yield, for each array of places, the images' grey levels and classes, on the device.

        Args:
            chosen: places of images in the set, a batch each.
            epoch: its number, from 1; a set that draws its images anew for each epoch shows those of this one.
        """


@dataclass(frozen=True, slots=True)
class Resident:
    """A set in memory: on the device, or on the host, from where batches are copied ahead.

    Attributes:
        images: uint8 (images, height, width); on the host pinned, where the device is another.
        labels: int64 (images,), on the CPU.
        device: where batches are wanted.
    """

    images: torch.Tensor
    labels: torch.Tensor
    device: torch.device

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, chosen: Iterable[Places], *, epoch: int = 1) -> Generator[Batch, None, None]:
        """Yield the chosen images: a batch is an index."""
        if self.images.device.type == self.device.type:
            return self._indexed(chosen)
        return copied_ahead(prefetched(self._gathered(chosen), AHEAD), self.device)

    def _indexed(self, chosen: Iterable[Places]) -> Generator[Batch, None, None]:
        labels = self.labels.to(self.device)
        for places in chosen:
            index = torch.from_numpy(places).to(self.device)
            yield self.images[index], labels[index]

    def _gathered(self, chosen: Iterable[Places]) -> Generator[Batch, None, None]:
        """Yield batches gathered into pinned memory, from which a device fetches by itself."""
        for places in chosen:
            index = torch.from_numpy(places)
            grey = torch.empty((len(index), *self.images.shape[1:]), dtype=torch.uint8, pin_memory=True)
            yield torch.index_select(self.images, 0, index, out=grey), self.labels[index].pin_memory()
