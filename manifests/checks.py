"""The checks of a manifest's columns: whole columns at a time, so that 110,000 rows take milliseconds."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from manifests.fields import Column, Field

if TYPE_CHECKING:
    from manifests.places import AnyPath

EXAMPLES = 3  # wrong values that an error shows
LONGEST_EXAMPLE = 200  # letters of each
LEAVES = r"^/|(^|/)\.\.?(/|$)|//|/$|^$|\x00"  # a path that leaves its folder, or that has another spelling
# Which command writes the manifest in a folder of this name, for whoever lacks it.
WRITERS = {
    "audit": "cxr-pipeline audit",
    "split": "cxr-pipeline split",
    "normalized": "cxr-pipeline normalize",
    "augmented": "cxr-pipeline augment",
    "evaluation": "cxr-pipeline evaluate",
}


class ManifestError(Exception):
    """A manifest breaks a promise of its schema; the text says where, what was found, what was expected."""


def not_found(path: AnyPath) -> ManifestError:
    """Return the error of a manifest that is not there, with the command that would write it where its folder tells."""
    writer = WRITERS.get(path.parent.name)
    command = f" (`{writer}`)" if writer else ""
    return ManifestError(f"{path}: not found; run the stage that writes it first{command}")


def check_column(column: pa.ChunkedArray, field: Field, where: str) -> None:
    """Check nulls, range, text, closed set and pattern of a column.

    Raises:
        ManifestError: where a value breaks what its field says.
    """
    place = f"{where}: column '{field.name}'"
    if not field.nullable and column.null_count:
        raise ManifestError(f"{place} holds {column.null_count} nulls; expected none")
    if pa.types.is_list(column.type):
        column = pc.list_flatten(column)
        if column.null_count:
            raise ManifestError(f"{place} holds {column.null_count} nulls in its lists; expected none")
    _expect(column, _in_range(column, field.column), place, _range_text(field.column))
    if pa.types.is_string(column.type):
        _check_text(column, field.column, place)
    if field.allowed:
        allowed = pa.array([*field.allowed, None], type=pa.string())
        _expect(column, pc.is_in(column, value_set=allowed), place, f"one of {', '.join(field.allowed)}")
    if field.column.pattern is not None:
        matches = pc.match_substring_regex(column, field.column.pattern)
        _expect(column, matches, place, f"text matching {field.column.pattern}")


def check_if_ok(column: pa.ChunkedArray, status: pa.ChunkedArray, place: str) -> None:
    """Check that a column holds a value exactly where the status is ok.

    Raises:
        ManifestError: where it does not.
    """
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


def _expect(column: pa.ChunkedArray, holds: pa.ChunkedArray | None, place: str, expected: str) -> None:
    if holds is None or pc.all(holds, skip_nulls=True).as_py() in (True, None):
        return
    wrong = column.filter(pc.invert(pc.fill_null(holds, True)))
    some = pc.unique(wrong)[:EXAMPLES].to_pylist()
    examples = [value[:LONGEST_EXAMPLE] if isinstance(value, str) else value for value in some]
    raise ManifestError(f"{place} holds {examples} ({len(wrong)} rows); expected {expected}")
