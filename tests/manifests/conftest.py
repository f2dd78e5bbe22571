"""What the tests of manifests share: rows of every schema, made up whole or drawn by hypothesis."""

from __future__ import annotations

import dataclasses
import hashlib
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from manifests.columns import Schema
from manifests.fields import Column, Spread
from manifests.rows import SHA256, NormalizedRow

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PART = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=9).filter(
    lambda part: part not in {".", ".."}
)
INTEGERS = {pa.int16(): 2**15 - 1, pa.int32(): 2**31 - 1, None: 2**63 - 1}


def _numbers(column: Column, kind: type) -> st.SearchStrategy[Any]:
    if kind is int:
        largest = INTEGERS[column.type]
        high = largest if column.high is None else int(column.high)
        low = -largest if column.low is None else int(column.low)
        return st.integers(low, high)
    return st.floats(column.low, column.high, allow_nan=False, allow_infinity=False)


def _texts(column: Column) -> st.SearchStrategy[str]:
    if column.pattern == SHA256:
        return HEX
    if column.pattern is not None:
        return st.from_regex(column.pattern, fullmatch=True)
    return st.lists(PART, min_size=1, max_size=3).map("/".join) if column.inside else TEXT


def _values(annotation: Any) -> st.SearchStrategy[Any]:
    """Return what a column may hold, read from the row class itself and not from the code under test."""
    kind, *extras = get_args(annotation)
    column = next(extra for extra in extras if isinstance(extra, Column))
    if get_origin(kind) in (Union, types.UnionType):
        (inner,) = (option for option in get_args(kind) if option is not type(None))
        return st.none() | _values(Annotated[inner, column])
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is list:
        (each,) = get_args(kind)
        return st.lists(st.floats(0, 1, width=32) if each is float else st.sampled_from(get_args(each)), max_size=4)
    if kind is str:
        return _texts(column)
    return st.booleans() if kind is bool else _numbers(column, kind)


def _rows(schema: Schema[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(schema.row, include_extras=True)
    drawn = st.fixed_dictionaries(
        {},
        optional={
            field.name: st.booleans() if pa.types.is_boolean(field.type) else _numbers(field.column, float)
            for field in schema.drawn
        },
    )
    rows = st.builds(
        schema.row,
        **{
            field.name: drawn
            if any(isinstance(extra, Spread) for extra in get_args(hints[field.name]))
            else _values(hints[field.name])
            for field in dataclasses.fields(schema.row)
        },
    )
    of_good_rows = [
        name
        for name, hint in hints.items()
        if any(isinstance(extra, Column) and extra.if_ok for extra in get_args(hint))
    ]
    return rows.map(lambda row: row if row.status == "ok" else dataclasses.replace(row, **dict.fromkeys(of_good_rows)))


@pytest.fixture(scope="session")
def rows_of() -> Callable[[Schema[Any]], st.SearchStrategy[Any]]:
    """Return the maker of strategies: any rows that a schema allows."""
    return _rows


MadeRow = Callable[..., NormalizedRow]


@pytest.fixture(scope="session")
def normalized_row() -> MadeRow:
    """Return the maker of one plain row of a normalized film; changes by name."""

    def make(number: int = 0, **changes: Any) -> NormalizedRow:
        plain: Mapping[str, Any] = {
            "film_id": hashlib.sha256(b"%d" % number).hexdigest(),
            "path": f"train/normal/film-{number}.pgm",
            "label": "normal",
            "label_index": 0,
            "group_id": f"person{number}",
            "split": "train",
            "status": "ok",
            "reason": None,
            "shard": "all.parquet",
            "index": number,
            "sha256": hashlib.sha256(b"image %d" % number).hexdigest(),
            "encoded_bytes": 100 + number,
            "scale_x": 0.25,
            "scale_y": 0.25,
            "film_left": 0,
            "film_top": 0,
            "film_right": 300,
            "film_bottom": 256,
            "lost": 0.125,
            "padded": 0.0,
        }
        return NormalizedRow(**{**plain, **changes})

    return make


@pytest.fixture(scope="session")
def blobs() -> Callable[[int], list[bytes]]:
    """Return the maker of stand-ins for encoded images: bytes of different lengths, no two alike."""

    def make(count: int) -> list[bytes]:
        noise = np.random.default_rng(7)
        return [b"%d:" % number + noise.bytes(5 + number % 11) for number in range(count)]

    return make
