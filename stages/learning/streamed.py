"""A set on the disk: encoded images are read ahead a window at a time, and decoded just in time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch

from stages.films.frame import Frame
from stages.learning.batches import decoded
from stages.learning.order import Places
from stages.learning.prefetch import Batch, copied_ahead, prefetched
from stages.learning.source import AHEAD
from stages.stored import Place, StoredImages


@dataclass(frozen=True, slots=True)
class Streamed:
    """A set on the disk: encoded images of a window are read ahead, and decoded by threads just in time.

    Attributes:
        stored: the images.
        labels: int64 (images,), on the CPU.
        frame: of each image.
        device: where batches are wanted.
        window: how many encoded images are held at most, but for a batch or two.
    """

    stored: StoredImages
    labels: torch.Tensor
    frame: Frame
    device: torch.device
    window: int

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, chosen: Iterable[Places], *, epoch: int = 1) -> Generator[Batch, None, None]:
        """Yield the chosen images; fast where each window of `chosen` lies in few shards, as `epoch_order` has it."""
        return copied_ahead(prefetched(self._decoded(list(chosen)), AHEAD), self.device)

    def _decoded(self, chosen: list[Places]) -> Generator[Batch, None, None]:
        """Yield the batches, each being decoded while those before it are used."""
        with ThreadPoolExecutor() as pool, closing(self._read_ahead(chosen)) as encoded:
            pending: deque[tuple[Places, list[Future[None]], torch.Tensor]] = deque()
            for places, images in zip(chosen, encoded, strict=True):
                pending.append((places, *self._decoding(images, pool)))
                if len(pending) > AHEAD:
                    yield self._done(*pending.popleft())
            while pending:
                yield self._done(*pending.popleft())

    def _decoding(
        self, images: list[tuple[Place, bytes]], pool: ThreadPoolExecutor
    ) -> tuple[list[Future[None]], torch.Tensor]:
        """Return the tensor into which threads decode a batch, uint8 (images, height, width), and what they work on."""
        shape = (len(images), self.frame.height, self.frame.width)
        grey = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        levels = grey.numpy()

        def put(position: int, place: Place, data: bytes) -> None:
            levels[position] = decoded(place.path, data, self.frame)

        return [pool.submit(put, position, *image) for position, image in enumerate(images)], grey

    def _done(self, places: Places, futures: list[Future[None]], grey: torch.Tensor) -> Batch:
        """Return a batch once all of it is decoded."""
        for future in futures:
            future.result()
        return grey, self.labels[torch.from_numpy(places)]

    def _read_ahead(self, chosen: list[Places]) -> Generator[list[tuple[Place, bytes]], None, None]:
        """Yield the encoded images of each batch; a thread reads the next window while this one is used up."""
        held = Held(self.window + max(map(len, chosen), default=0))
        windows = list(_windows(chosen, self.window))

        def read() -> Iterator[tuple[int, Place, bytes]]:
            for window in windows:
                wanted = np.concatenate(window)
                places = self.stored.places(wanted)
                position_of = {place.path: int(position) for place, position in zip(places, wanted, strict=True)}
                for place, data in self.stored.folder.read_images(places):
                    if not held.take():
                        return
                    yield position_of[place.path], place, data

        # what is held bounds the thread, not the queue
        with closing(prefetched(read(), 0)) as arriving:
            try:
                for window in windows:
                    encoded = {}
                    for _ in range(sum(map(len, window))):
                        position, place, data = next(arriving)
                        encoded[position] = (place, data)
                    for places in window:
                        yield [encoded.pop(int(position)) for position in places]
                        held.give(len(places))
            finally:
                held.end()


def _windows(chosen: list[Places], window: int) -> Iterator[list[Places]]:
    """Yield the batches in groups of at most `window` images, or of one batch that is larger."""
    group: list[Places] = []
    held = 0
    for places in chosen:
        if group and held + len(places) > window:
            yield group
            group, held = [], 0
        group.append(places)
        held += len(places)
    if group:
        yield group


class Held:
    """Counts images in memory: whoever reads waits while there are as many as may be."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._over = False
        self._changed = threading.Condition()

    def take(self) -> bool:
        """Wait for room for one more; False where nobody wants it any longer."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0 or self._over)
            self._free -= 1
            return not self._over

    def give(self, count: int) -> None:
        """Tell that so many are used up."""
        with self._changed:
            self._free += count
            self._changed.notify()

    def end(self) -> None:
        """Let whoever waits go."""
        with self._changed:
            self._over = True
            self._changed.notify()
