"""The images of a manifest as columns: where each lies and what it shows, without an object for each row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.shards import ImageFolder
from stages.columns import rows_with

COLUMNS = ("path", "shard", "index", "label_index", "film_id")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image's bytes lie."""

    path: str
    shard: str | None
    index: int | None


@dataclass(frozen=True, slots=True)
class StoredImages:
    """Images of a folder, in the order of its manifest.

    Attributes:
        folder: where they lie.
        table: `COLUMNS`, a row per image.
    """

    folder: ImageFolder
    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The index of each image's class."""
        return np.asarray(self.table.column("label_index").to_numpy(), np.int64)

    @property
    def shards(self) -> NDArray[np.int64]:
        """A number per image, equal where two lie in one file."""
        if self.folder.layout == "folder":
            return np.arange(len(self), dtype=np.int64)
        encoded = pc.dictionary_encode(self.table.column("shard").combine_chunks())
        return np.asarray(encoded.indices.to_numpy(), np.int64)

    def all_places(self) -> list[Place]:
        """Return where all of them lie."""
        return self.places(np.arange(len(self), dtype=np.int64))

    def places(self, chosen: NDArray[np.int64]) -> list[Place]:
        """Return where the chosen images lie, in the order of `chosen`."""
        part = self.table.select(("path", "shard", "index")).take(pa.array(chosen))
        columns = (part.column(name).to_pylist() for name in ("path", "shard", "index"))
        return [Place(*place) for place in zip(*columns, strict=True)]


def usable(folder: ImageFolder, manifest: pa.Table, split: str) -> StoredImages:
    """Return the good images of a split.

    Args:
        folder: where the images lie.
        manifest: the rows of its manifest.
        split: such as `train`.
    """
    good = rows_with(manifest, status="ok", split=split).select(COLUMNS)
    return StoredImages(folder, good.filter(pc.is_valid(good.column("label_index"))).combine_chunks())
