"""How images are dealt to files: as many in each as in any other, give or take one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manifests.rows import SPLITS

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OfSplit:
    """A split's images in the order in which they go out, and where one file ends and the next begins.

    Attributes:
        split: its name.
        images: their numbers among all that go out.
        ends: of each file, within `images`.
    """

    split: str
    images: Numbers
    ends: Numbers

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def counts(self) -> Numbers:
        """How many images each file holds."""
        return np.diff(self.ends, prepend=0)

    def files(self) -> Iterator[Numbers]:
        """Yield the numbers of each file's images."""
        yield from np.split(self.images, self.ends[:-1])


def dealt(
    splits: NDArray[np.uint8],
    sizes: Numbers,
    keys: NDArray[np.uint64] | None,
    *,
    file_bytes: int,
    files: int,
) -> list[OfSplit]:
    """Return each split's images in files of about `file_bytes`, which differ by one image at most.

    Args:
        splits: number of each image's split.
        sizes: bytes of each image.
        keys: by which they are sorted; None leaves them as they are.
        file_bytes: that a file shall have on average, at most.
        files: how many files a split shall have, fewer where it has fewer images; 0 for as many as it takes.
    """
    found = []
    for number, split in enumerate(SPLITS):
        images = np.flatnonzero(splits == number)
        if not len(images):
            continue
        if keys is not None:
            images = images[np.argsort(keys[images], kind="stable")]
        wanted = files or -(-int(sizes[images].sum()) // file_bytes)
        of_files = min(max(wanted, 1), len(images))
        found.append(OfSplit(split, images, np.cumsum(_even(len(images), of_files))))
    return found


def _even(images: int, files: int) -> Numbers:
    """Return how many of the images each file gets."""
    return np.full(files, images // files, np.int64) + (np.arange(files) < images % files)
