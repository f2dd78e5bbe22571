"""Some rows of a manifest at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests import row_groups, slices, store
from manifests.checks import ManifestError
from manifests.rows import NORMALIZED, SPLIT, NormalizedRow

MadeRow = Callable[..., NormalizedRow]


def written(path: Path, rows: list[NormalizedRow]) -> list[NormalizedRow]:
    path.unlink(missing_ok=True)
    store.write(rows, NORMALIZED, path, store.Footer())
    return rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    shards=st.lists(st.tuples(st.sampled_from(["a.parquet", "b.parquet", None]), st.integers(1, 7)), max_size=6),
    first=st.integers(0, 45),
    rows=st.integers(0, 45),
)
def test_slices_cover_every_row_once_and_give_it_back(
    tmp_path: Path,
    normalized_row: MadeRow,
    monkeypatch: pytest.MonkeyPatch,
    shards: list[tuple[str | None, int]],
    first: int,
    rows: int,
) -> None:
    """Whatever the size of the manifest's row groups."""
    monkeypatch.setattr(row_groups, "ROWS_PER_GROUP", 4)
    monkeypatch.setattr(slices, "FILES", 3)
    names = [shard for shard, number in shards for _ in range(number)]
    path = tmp_path / "manifest.parquet"
    known = written(path, [normalized_row(number, shard=shard) for number, shard in enumerate(names)])

    found = slices.slices(NORMALIZED, path)

    assert [number for each in found for number in range(each.first, each.last)] == [*range(len(known))]
    assert all({names[number] for number in range(each.first, each.last)} == {each.shard} for each in found)
    assert all(each.last - each.first <= 3 for each in found if each.shard is None)
    assert all(one.shard != other.shard for one, other in pairwise(found) if one.shard is not None)
    last = min(first + rows, len(known))
    assert NORMALIZED.rows(slices.rows_between(NORMALIZED, path, first, last)) == known[first:last]


def test_a_manifest_that_is_written_anew_gives_its_new_rows(tmp_path: Path, normalized_row: MadeRow) -> None:
    path = tmp_path / "manifest.parquet"
    for label in ("normal", "viral"):
        (row,) = written(path, [replace(normalized_row(0), label=label)])
        assert NORMALIZED.rows(slices.rows_between(NORMALIZED, path, 0, 1)) == [row]


def test_what_is_no_manifest_of_these_rows_is_an_error(tmp_path: Path, normalized_row: MadeRow) -> None:
    path = tmp_path / "manifest.parquet"
    with pytest.raises(ManifestError, match="not found; run the stage that writes it first"):
        slices.slices(NORMALIZED, path)
    written(path, [normalized_row(0)])
    with pytest.raises(ManifestError, match="expected SplitRow of version 1"):
        slices.slices(SPLIT, path)
    data = path.read_bytes()
    path.write_bytes(data[:40] + b"\0" * 200 + data[240:])
    with pytest.raises(ManifestError, match="run the stage that writes it again"):
        slices.rows_between(NORMALIZED, path, 0, 1)
