"""A row class, once: from it follow the Arrow schema, the checks on write and read, and the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import pyarrow as pa

from manifests.checks import ManifestError, check_column, check_if_ok
from manifests.fields import Field, columns_of, spread_name

Row = TypeVar("Row")

MANY = 4096  # rows: from here on texts that come again are looked for


@dataclass(frozen=True, slots=True)
class Schema(Generic[Row]):
    """A manifest's schema: its row class, and what is drawn on top of it.

    Attributes:
        row: the row class.
        version: raised whenever a column changes its name, type or meaning.
        drawn: columns that the row's spread field holds, nullable throughout.
        names: the columns that are asked for (`only`); empty for all.
    """

    row: type[Row]
    version: int
    drawn: tuple[Field, ...] = ()
    names: tuple[str, ...] = ()

    def only(self, *names: str) -> Schema[Row]:
        """Return the schema of some of the columns, or of all again where none is named.

        It is for whoever holds many rows and needs no more of them than that. Where columns are promised `if_ok`,
        `status` has to be among them.
        """
        return replace(self, names=names)

    @property
    def name(self) -> str:
        """The row class's name, as the footer states it."""
        return self.row.__name__

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every column that is asked for, the drawn ones last."""
        fields = (*columns_of(self.row), *self.drawn)
        return tuple(field for field in fields if field.name in self.names) if self.names else fields

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema."""
        return pa.schema([field.arrow for field in self.fields])

    def table(self, rows: Sequence[Row]) -> pa.Table:
        """Return the rows as a checked Arrow table.

        Raises:
            ManifestError: where a value breaks the schema.
        """
        spread = str(spread_name(self.row))
        declared = {field.name: [getattr(row, field.name) for row in rows] for field in columns_of(self.row)}
        drawn = {field.name: [getattr(row, spread).get(field.name) for row in rows] for field in self.drawn}
        return self.table_of(declared | drawn, len(rows))

    def table_of(self, columns: Mapping[str, Sequence[Any] | pa.Array | pa.ChunkedArray], rows: int) -> pa.Table:
        """Return columns as a checked Arrow table; one that is left out is null in each row.

        Args:
            columns: by name, values or an Arrow array of them.
            rows: how many there are.

        Raises:
            ManifestError: where a value breaks the schema.
            TypeError: where a column is none of the schema's.
        """
        if unknown := set(columns) - set(self.arrow.names):
            raise TypeError(f"{self.name} has no columns {sorted(unknown)}; expected some of {self.arrow.names}")
        arrays = [
            _array(columns[field.name], field, self.name) if field.name in columns else pa.nulls(rows, field.type)
            for field in self.fields
        ]
        table = pa.Table.from_arrays(arrays, schema=self.arrow)
        self.check(table, where=self.name)
        return table

    def rows(self, table: pa.Table) -> list[Row]:
        """Return a checked table's rows as objects of the row class."""
        spread = spread_name(self.row)
        names = [field.name for field in columns_of(self.row)]
        values = [_objects(table.column(name)) for name in names]
        if spread is None:
            return [self.row(**dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]
        drawn = table.select([field.name for field in self.drawn]).to_pylist()
        return [
            self.row(**dict(zip(names, row, strict=True)), **{spread: _present(numbers)})
            for row, numbers in zip(zip(*values, strict=True), drawn, strict=True)
        ]

    def check(self, table: pa.Table, *, where: str) -> None:
        """Check names, types, nulls, ranges, closed sets and patterns of every column.

        Raises:
            ManifestError: at the first column that breaks the schema.
        """
        self.check_columns(table.schema, where=where)
        for field in self.fields:
            check_column(table.column(field.name), field, where)
            if field.column.if_ok:
                check_if_ok(table.column(field.name), table.column("status"), f"{where}: column '{field.name}'")

    def check_columns(self, found: pa.Schema, *, where: str) -> None:
        """Check names and types alone.

        Raises:
            ManifestError: at the first that is another.
        """
        if list(found.names) != (expected := list(self.arrow.names)):
            raise ManifestError(f"{where}: columns are {_shown(found.names)}; expected {expected}")
        for field in self.fields:
            if (type_ := found.field(field.name).type) != field.type:
                raise ManifestError(f"{where}: column '{field.name}' has type {type_}; expected {field.type}")


def _objects(column: pa.ChunkedArray) -> list[Any]:
    """Return a column's values as objects; of a long column of texts that come again, each text is one object."""
    if len(column) < MANY or not pa.types.is_string(column.type):
        return list(column.to_pylist())
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):  # texts of more than two gigabytes
        return list(column.to_pylist())
    texts = [*encoded.dictionary.to_pylist(), None]
    return [texts[place] for place in encoded.indices.fill_null(len(texts) - 1).to_pylist()]


def _present(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in numbers.items() if value is not None}


def _array(values: Sequence[Any] | pa.Array | pa.ChunkedArray, field: Field, where: str) -> pa.Array | pa.ChunkedArray:
    try:
        if isinstance(values, pa.Array | pa.ChunkedArray):
            return values.cast(field.type)
        if pa.types.is_integer(field.type):
            return pa.array(values).cast(field.type)  # a typed array would cut 1.5 to 1 without a word
        return pa.array(values, type=field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
        raise ManifestError(f"{where}: column '{field.name}' does not hold {field.type}: {error}") from error


def _shown(names: Iterable[str]) -> list[str]:
    """Return names as an error shows them: some, and not whole where they are long."""
    return [name[:80] for _, name in zip(range(60), names, strict=False)]
