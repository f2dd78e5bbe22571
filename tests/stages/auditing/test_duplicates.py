"""Films that are the same: one of each is kept, what resembles it points to it, and patients in test are warned of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from manifests.rows import AUDITED, AuditedRow
from stages.auditing import duplicates as audit_duplicates
from stages.auditing import radiographs
from stages.auditing.duplicates import mark_near_duplicates, set_duplicates_aside, warn_of_groups_in_test
from stages.auditing.examine import levels_sum
from stages.statistics.alignment import SIDE

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


def levels_of(*films: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.stack([np.clip(128 + 40 * film, 0, 255).astype(np.uint8).reshape(-1) for film in films])


def noise(seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(SIDE, SIDE))


def marked(rows: Sequence[AuditedRow], levels: NDArray[np.uint8], *, same: bool = False) -> list[AuditedRow]:
    """Return the rows as they are marked; pixels that look alike are the same, or not."""
    sums = np.zeros(len(rows), np.uint64) if same else np.arange(len(rows), dtype=np.uint64)
    found, _ = mark_near_duplicates(AUDITED.table(rows), levels, sums)
    return AUDITED.rows(found)


def test_films_that_resemble_one_another_through_a_third_are_all_tied_to_the_first(audited: Audited) -> None:
    # c lies between a and b: each agrees with c by 0.94, and they with each other by 0.78 only
    levels = levels_of(noise(0) - 0.35 * noise(1), noise(0) + 0.35 * noise(1), noise(0))
    rows = marked([audited(name) for name in "abc"], levels)
    assert [row.near_duplicate_of for row in rows] == [None, "a", "a"]
    assert [row.near_duplicate_how for row in rows] == [None, "linked", "grey_levels"]
    assert [row.near_similarity is None for row in rows] == [True, False, False]
    assert rows[2].near_similarity == pytest.approx(0.94, abs=0.02)


def test_only_usable_films_are_compared(audited: Audited) -> None:
    levels = levels_of(*[noise(0)] * 3)
    rows = marked([audited("a", status="duplicate"), audited("b"), audited("c")], levels)
    assert [row.near_duplicate_of for row in rows] == [None, None, "b"]


@pytest.mark.parametrize(
    ("film", "told", "same", "kind"),
    [
        (noise(0), {}, True, "same_pixels"),
        (noise(0), {}, False, "recompressed"),
        (noise(0), {"width": 90}, True, "resized"),
        (0.7 * noise(0), {}, True, "grey_levels"),
        (noise(0)[:, ::-1], {}, True, "flipped"),
        (0.7 * noise(0)[:, ::-1], {"width": 90}, True, "flipped"),
    ],
)
def test_what_tells_a_film_from_its_twin_is_said(
    audited: Audited, *, film: NDArray[np.float64], told: Mapping[str, Any], same: bool, kind: str
) -> None:
    _, other = marked([audited("a"), audited("b", **told)], levels_of(noise(0), film), same=same)
    assert (other.near_duplicate_of, other.near_duplicate_how) == ("a", kind)


# --- figures ---------------------------------------------------------------------------------------------------

FACTS = {"near_threshold": 0.92, "near_threshold_siblings": 0.98, "near_threshold_source": "so"}


def figures(rows: Sequence[AuditedRow]) -> dict[str, Any]:
    return radiographs.duplicates(AUDITED.table(rows), FACTS)


def test_contradictions_are_counted_and_shown_first(audited: Audited) -> None:
    near = {"near_duplicate_how": "cropped", "near_similarity": 0.97, "group_id": "p"}
    rows = [
        audited("a1", group_id="p"),
        audited("a2", near_duplicate_of="a1", **near),
        audited("b1", delivered_split="train", group_id="p"),
        audited("b2", delivered_split="test", near_duplicate_of="b1", **near),
        audited("c1", group_id="p"),
        audited("c2", label="viral", near_duplicate_of="c1", **near),
        audited("d1"),
        audited("d2", status="duplicate", exact_duplicate_of="d1"),
        audited("e1", status="label_conflict", film_id="0" * 64),
        audited("e2", status="label_conflict", film_id="0" * 64, label="viral"),
        audited("f"),
    ]
    found = figures(rows)
    assert found["conflicts"] == {"label": 2, "delivered_split": 1, "patient": 2}
    assert (found["radiographs"], found["near"], found["exact"]) == (5, 3, 1)
    assert found["near_by_kind"] == {"cropped": 3}
    shown = [("".join(film["path"] for film in group["films"]), group["conflicts"]) for group in found["groups"]]
    assert shown == [
        ("e1e2", ["label", "patient"]),
        ("c1c2", ["label"]),
        ("b1b2", ["delivered_split"]),
        ("d1d2", ["patient"]),
        ("a1a2", []),
    ]
    assert [film["how"] for film in found["groups"][3]["films"]] == [None, "same_bytes"]
    assert [film["similarity"] for film in found["groups"][1]["films"]] == [None, 0.97]


def test_films_that_are_the_same_by_bytes_and_by_looks_are_one_radiograph(audited: Audited) -> None:
    rows = [
        audited("a"),
        audited("b", near_duplicate_of="a", near_duplicate_how="flipped", near_similarity=0.99),
        audited("c", status="duplicate", exact_duplicate_of="b"),
    ]
    (group,) = figures(rows)["groups"]
    assert (group["number"], [film["path"] for film in group["films"]]) == (3, ["a", "b", "c"])


def test_of_many_copies_some_are_shown_and_each_label_among_them(audited: Audited) -> None:
    near = {"near_duplicate_of": "00", "near_duplicate_how": "resized", "near_similarity": 0.99}
    rows = [audited("00"), *(audited(f"{n:02d}", label="viral" if n == 30 else "normal", **near) for n in range(1, 31))]
    (group,) = figures(rows)["groups"]
    assert group["number"] == 31
    assert [film["path"] for film in group["films"]] == ["00", "01", "02", "03", "04", "30"]


def test_a_set_without_duplicates_has_figures_and_no_groups(audited: Audited) -> None:
    found = figures([audited("a"), audited("b", status="truncated", film_id=None)])
    assert (found["radiographs"], found["groups"], found["examples"]) == (0, [], [])
    assert found["conflicts"] == {"label": 0, "delivered_split": 0, "patient": 0}


# --- the same pixels -------------------------------------------------------------------------------------------


@given(st.integers(8, 40), st.integers(8, 40), st.integers(0, 2**32 - 1), st.data())
def test_the_sum_of_levels_sees_any_one_level_that_differs(
    height: int, width: int, seed: int, data: st.DataObject
) -> None:
    film = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    other = film.copy()
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    other[row, column] = (int(other[row, column]) + data.draw(st.integers(1, 255))) % 256
    assert levels_sum(Image.fromarray(film)) == levels_sum(Image.fromarray(film.copy()))
    assert levels_sum(Image.fromarray(film)) != levels_sum(Image.fromarray(other))


def test_a_film_in_several_blocks_of_memory_has_a_sum() -> None:
    film = np.random.default_rng(0).integers(0, 256, (5000, 5000), dtype=np.uint8)  # Pillow's blocks hold 16 MB
    words = film.ravel().view(np.uint64)
    assert levels_sum(Image.fromarray(film)) == int(words.sum(dtype=np.uint64))


def test_copies_with_the_same_thumbnail_are_one_radiograph_whatever_their_number(audited: Audited) -> None:
    levels = levels_of(*[noise(seed) for seed in range(10)], *[noise(3)] * 40)
    rows = marked([audited(f"{number:02d}") for number in range(50)], levels, same=True)
    assert [row.near_duplicate_of for row in rows[:10]] == [None] * 10
    assert {(row.near_duplicate_of, row.near_duplicate_how, row.near_similarity) for row in rows[10:]} == {
        ("03", "same_pixels", 1.0)
    }
