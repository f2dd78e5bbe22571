"""Tables of any number of rows, made into the row groups that a manifest is written in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from manifests.columns import Schema
from manifests.places import AnyPath

ROWS_PER_GROUP = 1 << 15  # 8 MB of rows: the parent writes them while workers make the next


def row_groups(tables: Iterable[pa.Table], schema: Schema[Any], path: AnyPath) -> Iterator[pa.Table]:
    """Yield checked tables of ROWS_PER_GROUP rows and at last of what is left, each column in one piece."""
    pending: dict[str, list[pa.Array]] = {name: [] for name in schema.arrow.names}
    rows = 0
    for table in tables:
        schema.check(table, where=str(path))
        for name, column in zip(pending, table.columns, strict=True):
            pending[name] += column.chunks
        rows += len(table)
        while rows >= ROWS_PER_GROUP:
            yield _taken(pending, schema)
            rows -= ROWS_PER_GROUP
    if rows:
        yield _taken(pending, schema)


def _taken(pending: dict[str, list[pa.Array]], schema: Schema[Any]) -> pa.Table:
    """Take a row group's rows, or all there are, out of what is pending: one column at a time is in memory twice."""
    columns = []
    for name, kind in zip(schema.arrow.names, schema.arrow.types, strict=True):
        column = pa.chunked_array(pending[name], kind)
        pending[name] = column.slice(ROWS_PER_GROUP).chunks
        columns.append(column.slice(0, ROWS_PER_GROUP).combine_chunks())
    return pa.Table.from_arrays(columns, schema=schema.arrow)
