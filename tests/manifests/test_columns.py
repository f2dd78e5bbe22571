from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.checks import ManifestError
from manifests.columns import MANY, Schema
from manifests.fields import Column, Spread, columns_of, drawn_fields
from manifests.rows import AUDITED, NORMALIZED, PREDICTIONS, SPLIT
from stages.drawn import AUGMENTED

SCHEMAS: tuple[Schema[Any], ...] = (AUDITED, SPLIT, NORMALIZED, AUGMENTED, PREDICTIONS)
HEAD = ["film_id", "path", "label", "label_index", "group_id", "split", "status", "reason"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreadRow:
    """One loaf: a column of every kind."""

    name: Annotated[str, Column("what it is called", pattern=r"^[a-z]+$")]
    grain: Annotated[Literal["rye", "wheat"], Column("what it is made of")]
    baker: Annotated[str | None, Column("who made it")]
    slices: Annotated[int | None, Column("how many", pa.int16(), low=1, high=40)]
    kilograms: Annotated[float, Column("how heavy", low=0)]
    cold: Annotated[bool, Column("whether it has cooled")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crumb:
    """What baking draws."""

    holes: Annotated[float, Column("share of air", low=0, high=1)]
    burnt: Annotated[bool, Column("whether it is black")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BakedRow(BreadRow):
    """One loaf and what was drawn for it."""

    drawn: Annotated[dict[str, float | bool], Spread()]


BREAD = Schema(BreadRow, version=3)
BAKED = Schema(BakedRow, version=1, drawn=drawn_fields([Crumb]))
LOAF: dict[str, Any] = {
    "name": "miche",
    "grain": "rye",
    "baker": None,
    "slices": 12,
    "kilograms": 1.5,
    "cold": True,
}


def test_a_row_class_becomes_an_arrow_schema() -> None:
    """Names, types and nullability follow from the annotations alone."""
    assert pa.schema(
        [
            pa.field("name", pa.string(), nullable=False),
            pa.field("grain", pa.string(), nullable=False),
            pa.field("baker", pa.string(), nullable=True),
            pa.field("slices", pa.int16(), nullable=True),
            pa.field("kilograms", pa.float64(), nullable=False),
            pa.field("cold", pa.bool_(), nullable=False),
        ]
    ).equals(BREAD.arrow)
    assert BREAD.name == "BreadRow"


def test_documentation_travels_with_the_column() -> None:
    """Readers of the file see what a column means without the code."""
    table = BREAD.table([BreadRow(**LOAF)])
    assert table.schema.field("slices").metadata == {b"doc": b"how many"}
    assert table.schema.field("grain").metadata == {b"doc": b"what it is made of"}


def test_closed_sets_are_the_literals() -> None:
    """A Literal lists what its column may hold."""
    allowed = {field.name: field.allowed for field in BREAD.fields}
    assert allowed["grain"] == ("rye", "wheat")
    assert allowed["baker"] == ()


def test_drawn_columns_come_last_and_may_be_null() -> None:
    """No copy need draw every number, whatever the class of drawn numbers says."""
    assert BAKED.arrow.names == [*BREAD.arrow.names, "holes", "burnt"]
    assert all(field.nullable for field in BAKED.drawn)
    assert [field.name for field in columns_of(BakedRow)] == BREAD.arrow.names


def test_a_field_without_a_column_is_refused() -> None:
    """Every column needs its sentence of documentation."""

    @dataclass
    class Bare:
        slices: int

    with pytest.raises(TypeError, match="'slices' needs Annotated"):
        columns_of(Bare)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": None}, "'name' holds 1 nulls; expected none"),
        ({"name": "Miche"}, r"'name' holds \['Miche'\] \(1 rows\); expected text matching \^\[a-z\]\+\$"),
        ({"name": "miche\n"}, "'name' holds"),
        ({"name": "a\ud800"}, "'name' does not hold string"),
        ({"name": 7}, "'name' does not hold string"),
        ({"grain": "oats"}, r"'grain' holds \['oats'\] \(1 rows\); expected one of rye, wheat"),
        ({"slices": 0}, r"'slices' holds \[0\] \(1 rows\); expected a number in \[1, 40\]"),
        ({"slices": 41}, r"'slices' holds \[41\]"),
        ({"slices": 40_000}, "'slices' does not hold int16"),
        ({"slices": "many"}, "'slices' does not hold int16"),
        ({"slices": True}, "'slices' does not hold int16"),
        ({"kilograms": -0.5}, r"'kilograms' holds \[-0.5\] \(1 rows\); expected a number in \[0, inf\]"),
        ({"kilograms": float("nan")}, r"'kilograms' holds \[nan\]"),
        ({"kilograms": None}, "'kilograms' holds 1 nulls"),
        ({"cold": "yes"}, "'cold' does not hold bool"),
    ],
)
def test_a_wrong_value_is_named_with_its_column_and_what_was_expected(change: dict[str, Any], said: str) -> None:
    """Where, what was found, what was expected: in one line, before anything is written."""
    with pytest.raises(ManifestError, match=said):
        BREAD.table([BreadRow(**LOAF), BreadRow(**{**LOAF, **change})])


@pytest.mark.parametrize("change", [{"slices": 1}, {"slices": 40}, {"slices": None}, {"kilograms": 0.0}])
def test_the_ends_of_a_range_belong_to_it(change: dict[str, Any]) -> None:
    """Ranges are closed, and null is no number out of range."""
    assert BREAD.rows(BREAD.table([BreadRow(**{**LOAF, **change})])) == [BreadRow(**{**LOAF, **change})]


def test_null_in_a_list_is_refused() -> None:
    """A column that may be null may still hold no list of nulls: nobody who reads it looks for them."""
    with pytest.raises(ManifestError, match=r"AuditedRow: column 'flags' holds 1 nulls in its lists; expected none"):
        AUDITED.table_of({"path": ["a.png"], "status": ["ok"], "flags": [["clipped", None]]}, 1)


def test_wrong_values_are_counted_and_three_are_shown() -> None:
    """A manifest with a thousand wrong rows still gives one line."""
    rows = [BreadRow(**{**LOAF, "grain": grain}) for grain in ("a", "a", "b", "c", "d", "rye")]
    with pytest.raises(ManifestError, match=r"holds \['a', 'b', 'c'\] \(5 rows\)"):
        BREAD.table(rows)


def test_drawn_numbers_keep_their_ranges() -> None:
    """What was drawn is checked as any column is."""
    with pytest.raises(ManifestError, match=r"'holes' holds \[1.5\]"):
        BAKED.table([BakedRow(**LOAF, drawn={"holes": 1.5})])


def test_missing_and_extra_columns_are_named() -> None:
    """A table of other columns is refused, and the message holds the names on both sides."""
    table = BREAD.table([BreadRow(**LOAF)])
    with pytest.raises(ManifestError, match=r"shelf: columns are \['name', 'grain', 'baker', 'slices', 'kilograms'\];"):
        BREAD.check(table.drop_columns(["cold"]), where="shelf")
    with pytest.raises(ManifestError, match=r"'crust'\]; expected \['name'"):
        BREAD.check(table.append_column("crust", pa.array(["thick"])), where="shelf")


def test_a_column_of_another_type_is_refused() -> None:
    """An int64 where int16 is promised would be read by some tools and not by others."""
    table = BREAD.table([BreadRow(**LOAF)])
    wider = table.set_column(3, "slices", table.column("slices").cast(pa.int64()))
    with pytest.raises(ManifestError, match="shelf: column 'slices' has type int64; expected int16"):
        BREAD.check(wider, where="shelf")


def test_a_number_that_was_not_drawn_is_null_in_the_table_and_absent_in_the_row() -> None:
    """Null says that nothing was drawn; 0.0 and False say what was."""
    rows = [
        BakedRow(**LOAF, drawn={}),
        BakedRow(**LOAF, drawn={"burnt": False}),
        BakedRow(**LOAF, drawn={"holes": 0.0}),
    ]
    table = BAKED.table(rows)
    assert table.column("holes").to_pylist() == [None, None, 0.0]
    assert table.column("burnt").to_pylist() == [None, False, None]
    assert [row.drawn for row in BAKED.rows(table)] == [{}, {"burnt": False}, {"holes": 0.0}]


def test_no_rows_make_an_empty_table_of_the_same_columns() -> None:
    """A stage that set every film aside still writes a manifest."""
    assert AUGMENTED.table([]).schema.equals(AUGMENTED.arrow)
    assert AUGMENTED.rows(AUGMENTED.table([])) == []


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
@settings(max_examples=40)
@given(data=st.data())
def test_rows_come_back_from_their_table_as_they_went_in(
    data: st.DataObject, schema: Schema[Any], rows_of: Callable[[Schema[Any]], st.SearchStrategy[Any]]
) -> None:
    """Whatever a schema allows survives, nulls and undrawn numbers included."""
    rows = data.draw(st.lists(rows_of(schema), max_size=4))
    table = schema.table(rows)
    assert table.schema.equals(schema.arrow, check_metadata=True)
    assert schema.rows(table) == rows


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_every_manifest_begins_with_the_columns_that_other_tools_rely_on(schema: Schema[Any]) -> None:
    """The head is the same everywhere, and every column says what it means."""
    assert schema.arrow.names[: len(HEAD)] == HEAD
    assert len(set(schema.arrow.names)) == len(schema.arrow.names)
    assert all(len(field.column.doc) > 10 for field in schema.fields)


def test_the_augmented_manifest_has_the_promised_columns() -> None:
    """These names are the contract with other tools."""
    assert {"copy", "angle_deg", "zoom", "flipped", "brightness", "unfilled", "shard", "index", "sha256"} | {
        "encoded_bytes"
    } <= set(AUGMENTED.arrow.names)
    assert AUGMENTED.arrow.field("copy").type == pa.int16()
    assert AUGMENTED.arrow.field("flipped").type == pa.bool_()
    assert AUGMENTED.arrow.field("angle_deg").type == pa.float64()


def test_a_column_that_the_schema_does_not_have_is_no_way_to_leave_another_null() -> None:
    with pytest.raises(TypeError, match=r"BreadRow has no columns \['bakre'\]; expected some of \['name'"):
        BREAD.table_of({name: [value] for name, value in LOAF.items() if name != "baker"} | {"bakre": ["ida"]}, 1)


def test_texts_that_come_again_are_one_object_each_in_long_tables_and_the_rows_are_the_same() -> None:
    names = ("rye", "spelt", "emmer")
    bakers = ("ida", None)
    loaves = [BreadRow(**{**LOAF, "name": names[number % 3], "baker": bakers[number % 2]}) for number in range(MANY)]
    again = BREAD.rows(BREAD.table(loaves))
    assert again == loaves
    assert len({id(row.name) for row in again}) == len(names)
