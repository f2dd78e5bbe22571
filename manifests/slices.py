"""Some rows of a manifest at a time, by their numbers: nobody has to hold them all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from manifests import bounds, store
from manifests.checks import ManifestError
from manifests.columns import Schema
from manifests.places import AnyPath, at_hand

FILES = 1000  # of images that make a slice in the folder layout, about as many as a shard holds
GROUPS_HELD = 2  # of a manifest's row groups in a process: slices come in the order of the rows


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of a manifest whose images lie together.

    Attributes:
        shard: the file under shards/; None in the folder layout, and where the rows have no image.
        first: number of the first row.
        last: one past the last row's.
    """

    shard: str | None
    first: int
    last: int


def slices(schema: Schema[Any], path: AnyPath) -> list[Slice]:
    """Return a manifest's rows cut where another shard begins, and into FILES rows where there are none.

    Raises:
        ManifestError: where the manifest is missing, spoilt, or of another schema.
    """
    store.require(store.read_footer(path), schema, path)
    local = at_hand(path)
    schema.check_columns(pq.read_schema(local), where=str(path))
    found: list[Slice] = []
    try:
        with bounds.opened(path, local) as bounded:
            for batch in bounded.file.iter_batches(columns=["shard"]):
                _add(found, batch.column(0))
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"{path}: cannot be read ({error}); run the stage that writes it again") from error
    return [part for each in found for part in _cut(each)]


def _add(found: list[Slice], shards: pa.DictionaryArray) -> None:
    """Append the runs of a column; the first one may go on from the last of what was found."""
    start = found[-1].last if found else 0
    codes = shards.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    ends = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    for first, last in pairwise(ends):
        shard = shards[first].as_py()
        if found and found[-1].shard == shard:
            found[-1] = Slice(shard, found[-1].first, start + last)
        elif last > first:
            found.append(Slice(shard, start + first, start + last))


def _cut(whole: Slice) -> Iterator[Slice]:
    if whole.shard is not None:
        yield whole
        return
    for first in range(whole.first, whole.last, FILES):
        yield Slice(None, first, min(first + FILES, whole.last))


def rows_between(schema: Schema[Any], path: AnyPath, first: int, last: int) -> pa.Table:
    """Return rows of a manifest by their numbers, checked.

    Raises:
        ManifestError: where the manifest cannot be read or breaks the schema.
    """
    try:
        here = at_hand(path)
        status = here.stat()
        stamp = (status.st_ino, status.st_mtime_ns if here is path else 0)  # of a copy, the time says when it was used
        ends = _ends(here, stamp)
        groups = [n for n, (start, end) in enumerate(pairwise(ends)) if start < last and end > first]
        parts = [
            _group(here, stamp, n, schema).slice(max(first - ends[n], 0), min(last, ends[n + 1]) - max(first, ends[n]))
            for n in groups
        ]
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"{path}: cannot be read ({error}); run the stage that writes it again") from error
    return pa.concat_tables(parts) if parts else schema.table([])


@lru_cache(maxsize=GROUPS_HELD)
def _ends(path: Path, _stamp: tuple[int, int]) -> list[int]:
    """Return where each row group ends, after a 0."""
    with bounds.opened(path) as bounded:
        metadata = bounded.file.metadata
        sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    return [0, *accumulate(sizes)]


@lru_cache(maxsize=GROUPS_HELD)  # a row group holds the rows of some fifty slices
def _group(path: Path, _stamp: tuple[int, int], number: int, schema: Schema[Any]) -> pa.Table:
    """Return a row group, checked."""
    schema.check_columns(pq.read_schema(path), where=str(path))
    with bounds.opened(path) as bounded:
        table = bounded.plain_table(bounded.file.read_row_group(number))
    schema.check(table, where=str(path))
    return table.cast(schema.arrow)
