"""Rows as columns: what the stages ask of an Arrow table, so that no parent holds an object for each film."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def where_ok(table: pa.Table) -> pa.ChunkedArray:
    """Return for each row whether its status is ok."""
    return pc.equal(table.column("status"), "ok")


def rows_with(table: pa.Table, **values: str) -> pa.Table:
    """Return the rows whose columns hold the values given by name; the table itself where all rows do.

    Columns are copied one by one: where the caller gives its table up, one column at a time is in memory twice.
    """
    wanted = reduce(pc.and_, (pc.equal(pc.fill_null(table.column(name), ""), value) for name, value in values.items()))
    if pc.all(wanted).as_py() in (True, None):
        return table
    schema, columns = table.schema, table.columns[::-1]
    del table
    return pa.Table.from_arrays([columns.pop().filter(wanted) for _ in schema], schema=schema)


def ok_rows(table: pa.Table) -> pa.Table:
    """Return the rows whose status is ok (`rows_with`)."""
    return rows_with(table, status="ok")


def tallied(column: pa.ChunkedArray) -> dict[Any, int]:
    """Return how often each value occurs, null left out, in the order of their first rows."""
    counted = pc.value_counts(column.drop_null())
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def set_aside(column: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each status but `ok` occurs, the most frequent first."""
    found = tallied(column)
    return dict(sorted(((name, n) for name, n in found.items() if name != "ok"), key=lambda one: (-one[1], one[0])))


def numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a column's numbers, NaN where there is none."""
    found: NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    return found


def with_columns(table: pa.Table, **columns: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Return a table with some of its columns replaced."""
    for name, column in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, column.cast(field.type))
    return table


def put(table: pa.Table, places: NDArray[Any], rows: pa.Table, *names: str) -> pa.Table:
    """Return a table in which rows are replaced in some of its columns.

    Args:
        table: the table.
        places: which of its rows are replaced.
        rows: what they are replaced by, in the order of `places`.
        names: the columns that are taken from `rows`; all others stay.
    """
    source = np.arange(len(table))
    source[places] = len(table) + np.arange(len(rows))
    both = {name: pa.chunked_array([*table.column(name).chunks, *rows.column(name).chunks]) for name in names}
    return with_columns(table, **{name: column.take(pa.array(source)) for name, column in both.items()})
