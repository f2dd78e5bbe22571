"""What a row class says of its fields, and the columns that follow from it."""

from __future__ import annotations

import types
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

ARROW_TYPES: Mapping[Any, pa.DataType] = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
}
LONGEST_TEXT = 65_536  # letters; paths of 10,000 occur, and a reason holds one


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
    if get_origin(python_type) is list and get_origin(get_args(python_type)[0]) is Literal:
        allowed = get_args(get_args(python_type)[0])
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


def drawn_fields(classes: Iterable[type]) -> tuple[Field, ...]:
    """Return the columns of classes of drawn numbers, all nullable: no copy need draw every number."""
    return tuple(
        _resolve(field.name, get_type_hints(cls, include_extras=True)[field.name], always_nullable=True)
        for cls in classes
        for field in fields(cls)
    )


def spread_name(row: type) -> str | None:
    """Return the name of the field whose mapping is spread over columns; None where there is none."""
    hints = get_type_hints(row, include_extras=True)
    return next((field.name for field in fields(row) if _is_spread(hints[field.name])), None)
