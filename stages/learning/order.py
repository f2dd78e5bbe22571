"""In which order an epoch shows the images, and how its batches are shared out: seed and epoch alone decide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]  # of images in their set


def shuffled(count: int, *, seed: int, epoch: int) -> Places:
    """Return 0..count-1 in an order that seed and epoch alone decide."""
    return np.argsort(_words(count, seed, epoch), kind="stable").astype(np.int64)


def epoch_order(shards: NDArray[np.int64], *, window: int, seed: int, epoch: int) -> Places:
    """Return the order of an epoch: all images at random, or in windows where there are more than one holds.

    A set that is read from the disk as it is shown cannot jump about in all of it: the shards are shuffled, and the
    images within each window of so many. The order is the same wherever the images lie, so that a set gives the same
    batches from a device's memory as from the disk.

    Args:
        shards: a number per image, equal where two lie in one file.
        window: how many images are shuffled at once, 1 or more.
        seed: the run's.
        epoch: its number, from 1.
    """
    count = len(shards)
    if count <= window:
        return shuffled(count, seed=seed, epoch=epoch)
    files, file_of = np.unique(shards, return_inverse=True)
    rank = np.empty(len(files), np.int64)
    # epochs count from 1: the order of the files may take the words that no epoch's images do
    rank[np.argsort(_words(len(files), seed, 2**64 - epoch), kind="stable")] = np.arange(len(files))
    by_file = np.argsort(rank[file_of], kind="stable")
    windows = np.arange(count) // window
    within = np.lexsort((_words(count, seed, epoch), windows))
    return np.asarray(by_file[within], np.int64)


def in_order(count: int, batch_size: int) -> Iterator[Places]:
    """Yield the batches of a set in its own order, the last one smaller where the set does not divide."""
    for start in range(0, count, batch_size):
        yield np.arange(start, min(start + batch_size, count), dtype=np.int64)


def batches(order: Places, batch_size: int, *, first: int = 0) -> list[Places]:
    """Return an epoch's batches from number `first` on, the last one smaller where the set does not divide."""
    return [order[start : start + batch_size] for start in range(first * batch_size, len(order), batch_size)]


def shared(batch: Places, parts: int) -> list[Places]:
    """Return a batch in so many parts, as even as can be; with fewer images than parts, the last ones are empty."""
    return np.array_split(batch, parts)


def _words(count: int, seed: int, stream: int) -> NDArray[np.uint64]:
    """Return raw Philox words: NumPy promises them across versions, and promises no permutation."""
    return np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(count)
