"""Which films make a shard: those whose hashes begin with the same bits."""

from __future__ import annotations

from bisect import bisect_left
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def films_by_prefix(film_ids: pa.ChunkedArray, *, films_per_shard: int) -> dict[str, NDArray[np.uint64]]:
    """Return which films make each shard: their places in the column, sorted by hash, by the bits that they share.

    A shard holds the films of a prefix such as `0110`, the shortest that at most `films_per_shard` films share: so a
    new film changes the shard that it falls into and no other. Where one shard holds all, the prefix is empty.

    Args:
        film_ids: hex digests, each once.
        films_per_shard: the most films that a shard holds, at least 1.

    Raises:
        ValueError: where a film is named twice.
    """
    places = pc.sort_indices(film_ids).to_numpy()
    ids = film_ids.take(places).combine_chunks()
    _refuse_twice(ids)
    shards: dict[str, NDArray[np.uint64]] = {}
    pending = [("", 0, len(ids))]
    while pending:
        prefix, first, last = pending.pop()
        if last - first > films_per_shard:
            bit = partial(_bit, ids, len(prefix))
            middle = bisect_left(range(last), 1, first, key=bit)
            pending += [(f"{prefix}1", middle, last), (f"{prefix}0", first, middle)]  # zeros are next
        elif last > first:
            shards[prefix] = places[first:last]
    return shards


def _refuse_twice(film_ids: pa.Array) -> None:
    """Refuse sorted hashes of which one comes more than once."""
    one, next_one = film_ids.slice(0, max(len(film_ids) - 1, 0)), film_ids.slice(1)
    if twice := one.filter(pc.equal(one, next_one)).to_pylist():
        raise ValueError(
            f"{len(film_ids)} films have {len(film_ids) - len(twice)} hashes, {twice[0]} more than once; "
            "expected each film once"
        )


def _bit(film_ids: pa.Array, number: int, place: int) -> int:
    """Return bit `number` of the hash at a place, 0 or 1; bits count from 0, the highest first."""
    return int(film_ids[place].as_py()[number // 4], 16) >> (3 - number % 4) & 1
