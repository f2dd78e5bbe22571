"""Questions to a manifest in Python's own notation, answered by Arrow: `label == 'viral' and padded > 0.2`.

Known are names of columns, numbers, texts, True, False and None; comparisons, also chained; `in` and `not in`, of a
value among several, a text in a text or a value in a list; `and`, `or`, `not`; + - * /; and `matches(column, 'regular
expression')`. Nothing is evaluated that is not one of these. A comparison with null is neither true nor false, as in
SQL, `in` and `not in` among them, and a row that a question is not true of is left out. `is None` finds null, and so
does `in` where None is among the values.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.contract import ParamsError

LONGEST = 4096  # letters of a question: Python's parser runs out of stack on far longer ones
COMPARED: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
}
COMPUTED: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: pc.add,
    ast.Sub: pc.subtract,
    ast.Mult: pc.multiply,
    ast.Div: lambda one, other: pc.divide(pc.cast(one, pa.float64()), pc.cast(other, pa.float64())),
}
KNOWN = "columns, numbers, texts, comparisons, in, is None, and, or, not, + - * / and matches(column, 'expression')"


def columns_named(text: str) -> list[str]:
    """Return the columns that a question names, each once, in their order.

    Raises:
        ParamsError: where it is no question.
    """
    parts = list(ast.walk(_parsed(text)))
    called = {id(node.func) for node in parts if isinstance(node, ast.Call)}
    names = [node for node in parts if isinstance(node, ast.Name) and id(node) not in called]
    names.sort(key=lambda node: (node.lineno, node.col_offset))
    return list(dict.fromkeys(node.id for node in names))


def unknown(name: str, columns: Sequence[str]) -> str:
    """Return the sentence that says so of a name which is no column, with the nearest, or all of them."""
    near = get_close_matches(name, columns, n=1)
    return f"no column '{name}'; " + (f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(columns)}")


def rows_where(table: pa.Table, text: str) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the places of the rows for which a question is true.

    Raises:
        ParamsError: where it is no question, names no column of the table, or compares what cannot be compared.
    """
    answer = _answer(table, text)
    if not _is_column(answer) or not pa.types.is_boolean(answer.type):
        raise ParamsError(f"'{text}' is neither true nor false of a row; expected a comparison, such as padded > 0.2")
    return np.flatnonzero(np.asarray(pc.fill_null(answer, fill_value=False)))


def values(table: pa.Table, text: str) -> pa.ChunkedArray:
    """Return what a question comes to in each row: a column, or a figure of several such as width / height.

    Raises:
        ParamsError: as `rows_where`.
    """
    answer = _answer(table, text)
    if not _is_column(answer):
        raise ParamsError(f"'{text}' names no column; expected one of {', '.join(table.column_names)}")
    return answer if isinstance(answer, pa.ChunkedArray) else pa.chunked_array([answer])


def _parsed(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise ParamsError(f"a question of {len(text):,} letters; expected at most {LONGEST:,}")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ParamsError(f"'{text}' cannot be read ({error}); expected something like label == 'viral'") from error


def _answer(table: pa.Table, text: str) -> Any:
    try:
        return _Reader(table, text).read(_parsed(text))
    except (pa.ArrowException, TypeError, OverflowError) as error:
        first = str(error).split("\n")[0]
        raise ParamsError(f"'{text}': {first}; compare texts with texts and numbers with numbers") from error
    except RecursionError as error:
        raise ParamsError(f"'{text[:200]}' is nested too deeply; expected a plain question") from error


class _Reader:
    """Reads a question part by part, each to a column or a value."""

    def __init__(self, table: pa.Table, text: str) -> None:
        self._table = table
        self._text = text

    def read(self, node: ast.expr) -> Any:  # noqa: C901, PLR0911 - a case for each part of the notation
        """Return what a part of the question comes to."""
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return node.value
            case ast.Name(id=name):
                return self._column(name)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return [self.read(part) for part in parts]
            case ast.BoolOp(op=op, values=parts):
                joined = pc.and_kleene if isinstance(op, ast.And) else pc.or_kleene
                answer = self.read(parts[0])
                for part in parts[1:]:
                    answer = joined(answer, self.read(part))
                return answer
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return pc.invert(self.read(part))
            case ast.UnaryOp(op=ast.USub(), operand=part):
                return pc.negate(self.read(part))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in COMPUTED:
                return COMPUTED[type(op)](self.read(left), self.read(right))
            case ast.Compare():
                return self._compared(node)
            case ast.Call(
                func=ast.Name(id="matches"), args=[column, ast.Constant(value=str() as pattern)], keywords=[]
            ):
                return pc.match_substring_regex(self.read(column), pattern)
            case _:
                raise ParamsError(f"'{self._text}' holds '{ast.unparse(node)[:80]}'; known are {KNOWN}")

    def _column(self, name: str) -> pa.ChunkedArray:
        if name not in self._table.column_names:
            raise ParamsError(f"'{self._text}': {unknown(name, self._table.column_names)}")
        return self._table.column(name)

    def _compared(self, node: ast.Compare) -> Any:
        """Return a comparison, of a chain each link: 0.1 < padded < 0.2."""
        operands = [node.left, *node.comparators]
        links = [self._link(operands[at], op, operands[at + 1]) for at, op in enumerate(node.ops)]
        answer = links[0]
        for link in links[1:]:
            answer = pc.and_kleene(answer, link)
        return answer

    def _link(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(op, ast.In | ast.NotIn):
            found = _is_in(self.read(left), self.read(right))
            return pc.invert(found) if isinstance(op, ast.NotIn) else found
        one, other = self.read(left), self.read(right)
        if one is None or other is None:
            known = pc.is_valid(other if one is None else one)
            return known if isinstance(op, ast.IsNot | ast.NotEq) else pc.invert(known)
        if isinstance(op, ast.Is | ast.IsNot):
            raise ParamsError(f"'{self._text}': 'is' compares with None alone; expected ==")
        return COMPARED[type(op)](one, other)


def _is_in(one: Any, other: Any) -> Any:
    """Return whether a value is among several, a text is part of a text, or a value is in a list column.

    Null is nowhere to be found: neither in nor out, unless it is one of the values.

    Raises:
        TypeError: where it is none of these three.
    """
    if _is_column(one) and isinstance(other, list):
        found = pc.is_in(one, value_set=pa.array(other).cast(one.type))
        return found if None in other else pc.if_else(pc.is_valid(one), found, None)
    if not _is_column(other):
        raise TypeError("'in' needs a column on one side, as in label in ('viral', 'normal') or 'png' in path")
    if pa.types.is_list(other.type):
        return _holds(other.combine_chunks(), one)
    return pc.match_substring(other, one)


def _is_column(part: Any) -> bool:
    return isinstance(part, pa.Array | pa.ChunkedArray)


def _holds(lists: pa.ListArray, value: Any) -> pa.BooleanArray:
    """Return for each list whether it holds a value."""
    holding = pc.list_parent_indices(lists).filter(pc.equal(pc.list_flatten(lists), value))
    found = np.zeros(len(lists), bool)
    found[np.asarray(holding)] = True
    return pa.array(found, mask=np.asarray(lists.is_null()))
