"""A row class, once: from it follow the Arrow schema, the checks on write and read, and the documentation."""

from __future__ import annotations

import types
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, reduce
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc

Row = TypeVar("Row")

ARROW_TYPES: Mapping[Any, pa.DataType] = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
}


LONGEST_TEXT = 65_536  # letters; paths of 10,000 occur, and a reason holds one
LONGEST_EXAMPLE = 200  # letters of a wrong value that an error shows
LEAVES = r"^/|(^|/)\.\.?(/|$)|//|/$|^$|\x00"  # a path that leaves its folder, or that has another spelling


class ManifestError(Exception):
    """A manifest breaks a promise of its schema; the text says where, what was found, what was expected."""


@dataclass(frozen=True, slots=True)
class Column:
    """What a row class says of one of its fields, beside the Python type.

    Attributes:
        doc: what it means.
        type: the Arrow type, where the Python type does not decide it.
        low, high: the range of a number, or of each number of a list.
        pattern: what a text must match.
        inside: whether a text is a path that stays in the folder it is relative to.
        longest: the most letters of a text.
        if_ok: the promise that the column holds a value exactly where the row's `status` is ok, and null elsewhere.
            The Python type is a good row's: no other row's column is ever read.
    """

    doc: str
    type: pa.DataType | None = None
    low: float | None = None
    high: float | None = None
    pattern: str | None = None
    inside: bool = False
    longest: int = LONGEST_TEXT
    if_ok: bool = False


@dataclass(frozen=True, slots=True)
class Spread:
    """Marks the one field whose mapping is spread over columns of their own (the numbers that were drawn)."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a manifest."""

    name: str
    type: pa.DataType
    nullable: bool
    column: Column
    allowed: tuple[str, ...] = ()

    @property
    def arrow(self) -> pa.Field:
        """The Arrow field; the documentation travels as its metadata."""
        return pa.field(self.name, self.type, nullable=self.nullable, metadata={"doc": self.column.doc})


def _resolve(name: str, annotation: Any, *, always_nullable: bool = False) -> Field:
    """Return the column that an `Annotated[type, Column(...)]` describes."""
    if get_origin(annotation) is not Annotated:
        raise TypeError(f"row field '{name}' needs Annotated[type, Column(...)], found {annotation!r}")
    python_type, *extras = get_args(annotation)
    column = next(extra for extra in extras if isinstance(extra, Column))
    nullable = always_nullable or column.if_ok
    if get_origin(python_type) in (Union, types.UnionType):
        options = [option for option in get_args(python_type) if option is not type(None)]
        nullable = nullable or len(options) < len(get_args(python_type))
        (python_type,) = options
    allowed: tuple[str, ...] = ()
    if get_origin(python_type) is Literal:
        allowed, python_type = get_args(python_type), str
    arrow_type = column.type if column.type is not None else ARROW_TYPES[python_type]
    return Field(name, arrow_type, nullable, column, allowed)


def columns_of(row: type) -> tuple[Field, ...]:
    """Return the columns that a row class declares, in its order, the spread field left out."""
    return _columns_of(row)


@cache  # reading the annotations takes longer than a shard's checks
def _columns_of(row: Hashable) -> tuple[Field, ...]:
    assert isinstance(row, type)
    hints = get_type_hints(row, include_extras=True)
    return tuple(_resolve(field.name, hints[field.name]) for field in fields(row) if not _is_spread(hints[field.name]))


def _is_spread(annotation: Any) -> bool:
    return any(isinstance(extra, Spread) for extra in getattr(annotation, "__metadata__", ()))


@dataclass(frozen=True, slots=True)
class Schema(Generic[Row]):
    """A manifest's schema: its row class, and what is drawn on top of it.

    Attributes:
        row: the row class.
        version: raised whenever a column changes its name, type or meaning.
        drawn: columns that the row's spread field holds, nullable throughout.
    """

    row: type[Row]
    version: int
    drawn: tuple[Field, ...] = ()

    @property
    def name(self) -> str:
        """The row class's name, as the footer states it."""
        return self.row.__name__

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every column, the drawn ones last."""
        return (*columns_of(self.row), *self.drawn)

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema."""
        return pa.schema([field.arrow for field in self.fields])

    def table(self, rows: Sequence[Row]) -> pa.Table:
        """Return the rows as a checked Arrow table.

        Raises:
            ManifestError: where a value breaks the schema.
        """
        spread = str(_spread_name(self.row))
        declared = {field.name: [getattr(row, field.name) for row in rows] for field in columns_of(self.row)}
        drawn = {field.name: [getattr(row, spread).get(field.name) for row in rows] for field in self.drawn}
        return self.table_of(declared | drawn, len(rows))

    def table_of(self, columns: Mapping[str, Sequence[Any] | pa.Array], rows: int) -> pa.Table:
        """Return columns as a checked Arrow table; one that is left out is null in each row.

        Args:
            columns: by name, values or an Arrow array of them.
            rows: how many there are.

        Raises:
            ManifestError: where a value breaks the schema.
        """
        arrays = [
            _array(columns[field.name], field, self.name) if field.name in columns else pa.nulls(rows, field.type)
            for field in self.fields
        ]
        table = pa.Table.from_arrays(arrays, schema=self.arrow)
        self.check(table, where=self.name)
        return table

    def rows(self, table: pa.Table) -> list[Row]:
        """Return a checked table's rows as objects of the row class."""
        spread = _spread_name(self.row)
        names = [field.name for field in columns_of(self.row)]
        values = [table.column(name).to_pylist() for name in names]
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
            _check_column(table.column(field.name), field, where)
            if field.column.if_ok:
                _check_if_ok(table.column(field.name), table.column("status"), f"{where}: column '{field.name}'")

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


def drawn_fields(classes: Iterable[type]) -> tuple[Field, ...]:
    """Return the columns of classes of drawn numbers, all nullable: no copy need draw every number."""
    return tuple(
        _resolve(field.name, get_type_hints(cls, include_extras=True)[field.name], always_nullable=True)
        for cls in classes
        for field in fields(cls)
    )


def _present(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in numbers.items() if value is not None}


def _spread_name(row: type) -> str | None:
    hints = get_type_hints(row, include_extras=True)
    return next((field.name for field in fields(row) if _is_spread(hints[field.name])), None)


def _array(values: Sequence[Any] | pa.Array, field: Field, where: str) -> pa.Array:
    try:
        if isinstance(values, pa.Array):
            return values.cast(field.type)
        if pa.types.is_integer(field.type):
            return pa.array(values).cast(field.type)  # a typed array would cut 1.5 to 1 without a word
        return pa.array(values, type=field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
        raise ManifestError(f"{where}: column '{field.name}' does not hold {field.type}: {error}") from error


def _check_column(column: pa.ChunkedArray, field: Field, where: str) -> None:
    place = f"{where}: column '{field.name}'"
    if not field.nullable and column.null_count:
        raise ManifestError(f"{place} holds {column.null_count} nulls; expected none")
    if pa.types.is_list(column.type):
        column = pc.list_flatten(column)
    _expect(column, _in_range(column, field.column), place, _range_text(field.column))
    if pa.types.is_string(column.type):
        _check_text(column, field.column, place)
    if field.allowed:
        allowed = pa.array([*field.allowed, None], type=pa.string())
        _expect(column, pc.is_in(column, value_set=allowed), place, f"one of {', '.join(field.allowed)}")
    if field.column.pattern is not None:
        matches = pc.match_substring_regex(column, field.column.pattern)
        _expect(column, matches, place, f"text matching {field.column.pattern}")


def _check_if_ok(column: pa.ChunkedArray, status: pa.ChunkedArray, place: str) -> None:
    good = pc.equal(status, "ok")
    wrong = pc.sum(pc.equal(pc.is_null(column), good)).as_py()
    if wrong:
        raise ManifestError(f"{place}: {wrong} rows break the rule; expected a value where status is ok, else null")


def _check_text(column: pa.ChunkedArray, said: Column, place: str) -> None:
    may_be_long = (pc.max(pc.binary_length(column)).as_py() or 0) > said.longest  # bytes cost nothing to count
    if may_be_long and (found := pc.max(pc.utf8_length(column)).as_py()) > said.longest:
        raise ManifestError(f"{place} holds a text of {found:,} letters; expected {said.longest:,} at most")
    if said.inside:
        leaves = pc.match_substring_regex(column, LEAVES)
        _expect(column, pc.invert(leaves), place, "paths that stay inside the folder they are relative to")


def _shown(names: Iterable[str]) -> list[str]:
    """Return names as an error shows them: some, and not whole where they are long."""
    return [name[:80] for _, name in zip(range(60), names, strict=False)]


def _in_range(column: pa.ChunkedArray, bounds: Column) -> pa.ChunkedArray | None:
    conditions = [pc.is_finite(column)] if pa.types.is_floating(column.type) else []
    if bounds.low is not None:
        conditions.append(pc.greater_equal(column, bounds.low))
    if bounds.high is not None:
        conditions.append(pc.less_equal(column, bounds.high))
    if not conditions:
        return None
    return reduce(pc.and_, conditions)


def _range_text(bounds: Column) -> str:
    low = "-inf" if bounds.low is None else f"{bounds.low:g}"
    high = "inf" if bounds.high is None else f"{bounds.high:g}"
    return f"a number in [{low}, {high}]"


def _some(values: pa.Array) -> list[Any]:
    found: list[Any] = values[:3].to_pylist()
    return found


def _expect(column: pa.ChunkedArray, holds: pa.ChunkedArray | None, place: str, expected: str) -> None:
    if holds is None or pc.all(holds, skip_nulls=True).as_py() in (True, None):
        return
    wrong = column.filter(pc.invert(pc.fill_null(holds, True)))
    examples = [value[:LONGEST_EXAMPLE] if isinstance(value, str) else value for value in _some(pc.unique(wrong))]
    raise ManifestError(f"{place} holds {examples} ({len(wrong)} rows); expected {expected}")
