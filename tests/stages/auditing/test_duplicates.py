"""Films that are the same: one of each is kept, what resembles it points to it, and patients in test are warned of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.rows import AUDITED, AuditedRow
from stages.auditing import duplicates as audit_duplicates
from stages.auditing.duplicates import mark_near_duplicates, set_duplicates_aside, warn_of_groups_in_test
from stages.statistics.duplicates import SIDE

Audited = Callable[..., AuditedRow]


# --- the same bytes --------------------------------------------------------------------------------------------


def one_kept(rows: Sequence[AuditedRow]) -> list[AuditedRow]:
    return AUDITED.rows(set_duplicates_aside(AUDITED.table(rows)))


def set_aside(rows: Sequence[AuditedRow]) -> dict[str, tuple[str, str | None]]:
    return {row.path: (row.status, row.exact_duplicate_of) for row in one_kept(rows)}


def test_of_the_same_bytes_the_first_path_is_kept(audited: Audited) -> None:
    same = "0" * 64
    rows = [audited(f"train/{name}.jpeg", film_id=same, delivered_split="train") for name in ("c", "a", "b")]
    assert set_aside(rows) == {
        "train/a.jpeg": ("ok", None),
        "train/b.jpeg": ("duplicate", "train/a.jpeg"),
        "train/c.jpeg": ("duplicate", "train/a.jpeg"),
    }


def test_of_the_same_bytes_in_train_and_test_the_test_film_is_kept(audited: Audited) -> None:
    same = {"film_id": "0" * 64}
    rows = [
        audited("a/train.jpeg", delivered_split="train", **same),
        audited("b/test.jpeg", delivered_split="test", label="viral", **same),
    ]
    kept, other = sorted(one_kept(rows), key=lambda row: row.status, reverse=True)
    assert (kept.path, kept.status, kept.label) == ("b/test.jpeg", "ok", "viral")
    assert (other.status, other.exact_duplicate_of) == ("duplicate", "b/test.jpeg")
    assert other.reason == "same bytes as b/test.jpeg (there labelled viral)"


def test_the_same_bytes_under_two_labels_are_trusted_under_neither(audited: Audited) -> None:
    rows = [audited("a.jpeg", film_id="0" * 64), audited("b.jpeg", film_id="0" * 64, label="viral"), audited("c.jpeg")]
    found = {row.path: row for row in one_kept(rows)}
    assert (found["a.jpeg"].status, found["b.jpeg"].status) == ("label_conflict", "label_conflict")
    assert found["a.jpeg"].reason == "the same bytes are labelled normal and viral; expected one label"
    assert found["c.jpeg"].status == "ok"


SHARED = st.tuples(
    st.integers(0, 4),
    st.sampled_from(["normal", "viral"]),
    st.sampled_from(["train", "val", "test", None]),
    st.sampled_from(["ok", "ok", "ok", "truncated"]),
)


@given(st.lists(SHARED, max_size=14), st.randoms())
def test_whatever_is_duplicated_each_radiograph_stays_at_most_once(
    audited: Audited, drawn: list[Any], words: Any
) -> None:
    rows = [
        audited(f"{number:02d}.jpeg", film_id=f"{film:064d}", label=label, delivered_split=split, status=status)
        for number, (film, label, split, status) in enumerate(drawn)
    ]
    found = one_kept(rows)
    usable = {row.film_id: row for row in found if row.status == "ok"}
    assert len(usable) == sum(row.status == "ok" for row in found)
    assert [row.path for row in found] == [row.path for row in rows]
    for before, after in zip(rows, found, strict=True):
        if after.status == "duplicate":
            assert after.exact_duplicate_of == usable[after.film_id].path
        if before.status == "ok" and before.delivered_split == "test":
            assert usable[before.film_id].delivered_split == "test"
        assert before.status == "ok" or after == before
    shuffled = list(rows)
    words.shuffle(shuffled)
    assert sorted(one_kept(shuffled), key=lambda row: row.path) == found


@pytest.mark.parametrize("at_once", [1, 2, 1024])
def test_of_many_sets_each_keeps_one_however_few_rows_are_looked_at_together(
    audited: Audited, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(audit_duplicates, "ROWS_AT_ONCE", at_once)
    rows = [audited(f"{number:02d}.jpeg", film_id=f"{number % 4:064d}") for number in range(14)]
    found = [row.exact_duplicate_of for row in one_kept(rows)]
    assert found == [None] * 4 + [f"{number % 4:02d}.jpeg" for number in range(4, 14)]


def test_groups_in_train_and_test_are_warned_of(audited: Audited) -> None:
    rows = [
        audited("train/a.jpeg", group_id="p1", delivered_split="train", warning="odd"),
        audited("train/b.jpeg", group_id="p2", delivered_split="train"),
        audited("test/c.jpeg", group_id="p1", delivered_split="test"),
        audited("test/d.jpeg", group_id="p2", delivered_split="test", status="truncated"),
    ]
    warnings = warn_of_groups_in_test(AUDITED.table(rows)).column("warning").to_pylist()
    assert warnings == ["odd; patient group is also in the delivered test split", None, None, None]


# --- near duplicates -------------------------------------------------------------------------------------------


def test_films_that_resemble_one_another_through_a_third_are_all_tied_to_the_first(audited: Audited) -> None:
    # c lies between a and b: each resembles c at 0.9945, and they each other at 0.978 only
    words = np.random.default_rng(0).normal(size=(2, SIDE * SIDE))
    one, other = words - words.mean(axis=1, keepdims=True)
    step = 0.105 * other * np.linalg.norm(one) / np.linalg.norm(other)
    pixels = {
        name: np.clip(128 + 40 * (one + sign * step), 0, 255).astype(np.uint8)
        for name, sign in (("a", -1), ("b", 1), ("c", 0))
    }
    rows, _ = mark_near_duplicates(AUDITED.table([audited(name) for name in pixels]), np.stack([*pixels.values()]))
    assert rows.column("near_duplicate_of").to_pylist() == [None, "a", "a"]


def test_only_usable_films_are_compared(audited: Audited) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, SIDE * SIDE).astype(np.uint8)
    rows = AUDITED.table([audited("a", status="duplicate"), audited("b"), audited("c")])
    marked, _ = mark_near_duplicates(rows, np.stack([pixels] * 3))
    assert marked.column("near_duplicate_of").to_pylist() == [None, None, "b"]
