"""Any image by its place: files that a process has open, and what it holds of them."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.checks import ManifestError
from manifests.places import at_hand
from manifests.shards import SHARDS, ImageFolder
from stages.stored import Place

FILES_OPEN = 64


class Shelf:
    """Files that a process has open, and the row groups that it holds, the last used ones.

    Attributes:
        process: whose they are.
    """

    def __init__(self, folder: ImageFolder, held_bytes: int) -> None:
        self.process = os.getpid()
        self._folder = folder
        self._room = held_bytes
        self._files: OrderedDict[str, tuple[pq.ParquetFile, list[int]]] = OrderedDict()
        self._groups: OrderedDict[tuple[str, int], pa.Array] = OrderedDict()
        self._held = 0

    def image(self, place: Place) -> bytes:
        """Return an image's bytes.

        Raises:
            ManifestError: where its file cannot be read.
        """
        if place.shard is None:
            ((_, data),) = self._folder.read_images([place])
            return data
        try:
            _, ends = self._file(place.shard)
            index = int(place.index or 0)
            group = bisect_right(ends, index)
            first = ends[group - 1] if group else 0
            found: bytes = self._group(place.shard, group)[index - first].as_py()
        except (OSError, pa.ArrowException, IndexError) as error:
            path = self._folder.path / SHARDS / place.shard
            raise ManifestError(f"{path}: cannot be read ({error}); run the stage that writes it again") from error
        return found

    @property
    def held(self) -> dict[str, int]:
        """How much of them there is."""
        return {"files": len(self._files), "groups": len(self._groups)}

    def _file(self, shard: str) -> tuple[pq.ParquetFile, list[int]]:
        if shard not in self._files:
            file = pq.ParquetFile(at_hand(self._folder.path / SHARDS / shard))
            sizes = (file.metadata.row_group(number).num_rows for number in range(file.num_row_groups))
            self._files[shard] = file, list(accumulate(sizes))
            if len(self._files) > FILES_OPEN:
                _, (oldest, _) = self._files.popitem(last=False)
                oldest.close()
        self._files.move_to_end(shard)
        return self._files[shard]

    def _group(self, shard: str, number: int) -> pa.Array:
        key = (shard, number)
        if key not in self._groups:
            column = self._file(shard)[0].read_row_group(number, columns=["image.bytes"]).column("image")
            self._groups[key] = column.combine_chunks().field("bytes")
            self._held += self._groups[key].nbytes
            while self._held > self._room and len(self._groups) > 1:
                self._held -= self._groups.popitem(last=False)[1].nbytes
        self._groups.move_to_end(key)
        return self._groups[key]
