"""Questions to a manifest: answered as Python would, row by row, and nothing else is evaluated."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.contract import ParamsError
from stages.query import columns_named, rows_where, values

ROWS: list[dict[str, Any]] = [
    {"path": "a/x.png", "label": "viral", "width": 300, "height": 200, "padded": 0.25, "flags": ["blank", "text"]},
    {"path": "b/y.png", "label": "normal", "width": 200, "height": 200, "padded": None, "flags": []},
    {"path": "b/z.jpeg", "label": None, "width": None, "height": 100, "padded": 0.0, "flags": ["text"]},
    {"path": "c/w.png", "label": "viral", "width": 100, "height": 200, "padded": 0.5, "flags": None},
]
TABLE = pa.Table.from_pylist(
    ROWS,
    schema=pa.schema(
        [
            ("path", pa.string()),
            ("label", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("padded", pa.float64()),
            ("flags", pa.list_(pa.string())),
        ]
    ),
)


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("label == 'viral'", [0, 3]),
        ("label != 'viral'", [1]),
        ("label is None", [2]),
        ("label is not None and width >= 200", [0, 1]),
        ("padded == None or padded == 0", [1, 2]),
        ("label in ('viral', 'normal')", [0, 1, 3]),
        ("label not in ['viral']", [1]),
        ("label in ('normal', None)", [1, 2]),
        ("label not in ('normal', None)", [0, 3]),
        ("'b/' in path", [1, 2]),
        ("'png' not in path", [2]),
        ("matches(path, 'z.jpe?g$')", [2]),
        ("width / height > 1.2", [0]),
        ("150 < width < 250", [1]),
        ("not width > 250", [1, 3]),
        ("not (label == 'viral' or height < 150)", [1]),
        ("'vir' not in label", [1]),
        ("width - height == 2 * 50", [0]),
        ("-padded < 0", [0, 3]),
        ("'text' in flags", [0, 2]),
        ("'blank' not in flags", [1, 2]),
    ],
)
def test_a_question_finds_its_rows(question: str, found: list[int]) -> None:
    assert rows_where(TABLE, question).tolist() == found


def test_a_list_is_asked_row_by_row_in_every_chunk() -> None:
    chunks = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)])
    assert rows_where(chunks, "'text' in flags").tolist() == [0, 2]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("lable == 'viral'", "no column 'lable'; did you mean 'label'?"),
        ("zz == 1", "no column 'zz'; expected one of path, label"),
        ("width >", "cannot be read"),
        ("width", "neither true nor false"),
        ("1 == 1", "neither true nor false"),
        ("width == 'wide'", "compare texts with texts"),
        ("label in 'viral'", "'in' needs a column on one side"),
        ("'viral' in ['viral']", "'in' needs a column on one side"),
        ("None in [1]", "'in' needs a column on one side"),
        ("label in None", "'in' needs a column on one side"),
        ("width in [100000000000000000000]", "too large"),
        ("label + 1 == 2", "compare texts with texts"),
        ("label is 'viral'", "'is' compares with None alone"),
        ("__import__('os').system('true') == 0", "holds '__import__"),
        ("path.lower() == 'x'", "holds 'path.lower()'"),
        ("(lambda: width)() == 1", "holds '(lambda"),
        ("[one for one in (1, 2)] == 1", "holds '[one for"),
        ("matches(path, path)", "holds 'matches(path, path)'"),
        ("width ** 9 == 1", "holds 'width ** 9'"),
        ("(" * 300 + "width" + ")" * 300 + " == 1", "cannot be read"),
        ("not " * 2000 + "width == 1", "letters; expected at most 4,096"),
        ("\0", "cannot be read"),
    ],
)
def test_what_is_no_question_is_refused_with_what_is_known(question: str, said: str) -> None:
    with pytest.raises(ParamsError) as error:
        rows_where(TABLE, question)
    assert said in str(error.value)


def test_names_are_columns_and_functions_are_none() -> None:
    assert columns_named("matches(path, 'x') and width / height > 1 and width < 9") == ["path", "width", "height"]


def test_a_figure_of_columns_is_a_value_a_row() -> None:
    assert values(TABLE, "width / height").to_pylist() == [1.5, 1.0, None, 0.5]
    with pytest.raises(ParamsError, match="names no column"):
        values(TABLE, "1")


@given(st.lists(st.one_of(st.none(), st.integers(-5, 5)), min_size=1, max_size=20), st.integers(-5, 5))
def test_a_comparison_is_pythons_and_null_is_no_answer(numbers: list[int | None], limit: int) -> None:
    table = pa.table({"n": pa.array(numbers, pa.int64())})
    above = [place for place, number in enumerate(numbers) if number is not None and number > limit]
    others = [place for place, number in enumerate(numbers) if number is not None and not number > limit]
    assert rows_where(table, f"n > {limit}").tolist() == above
    assert rows_where(table, f"not n > {limit}").tolist() == others
    assert rows_where(table, "n is None").tolist() == [place for place, number in enumerate(numbers) if number is None]


ATOMS = st.sampled_from(["label", "width", "flags", "path", "padded", "1", "0.5", "'viral'", "None", "True", "[]"])
PAIRS = [
    "{} in {}",
    "{} not in {}",
    "{} == {}",
    "{} < {}",
    "{} is {}",
    "{} and {}",
    "{} + {}",
    "[{}, {}]",
    "matches({}, {})",
]


def _composed(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.builds(lambda form, one, other: f"({form.format(one, other)})", st.sampled_from(PAIRS), parts, parts)
    return pairs | parts.map("(not {})".format) | parts.map("(-{})".format)


@given(st.recursive(ATOMS, _composed, max_leaves=6))
def test_any_composition_of_what_is_known_is_answered_or_refused(question: str) -> None:
    """No error of Arrow's or Python's gets through."""
    try:
        found = rows_where(TABLE, question)
    except ParamsError:
        return
    assert set(found.tolist()) <= set(range(len(ROWS)))


@given(st.text(max_size=60))
def test_any_text_is_answered_or_refused(text: str) -> None:
    try:
        rows_where(TABLE, text)
    except ParamsError:
        return
