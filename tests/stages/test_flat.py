"""What a parent holds does not grow with the films: rows are columns, and only what is under way is objects."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import shards, store
from manifests.rows import AUDITED, NORMALIZED, SPLIT, AuditedRow, NormalizedRow, SplitRow
from stages import audit, augment, normalize, paths, split
from stages.auditing import examine
from stages.auditing.rows import Examined, classified, film_row
from stages.auditing.thumbnails import Thumbnails
from stages.augment_params import AugmentParams
from stages.columns import ok_rows, put, set_aside, tallied
from stages.contract import Machine, Made
from stages.films.frame import Frame
from stages.named import Named
from stages.patients import clusters_of
from stages.statistics.alignment import SIDE
from stages.statistics.splits import draw_number, draw_share, gathered, rounded_share

Audited = Callable[..., AuditedRow]
FEW = 8  # rows that are objects at once, here


def alive(kind: type) -> int:
    """Return how many objects of a class there are."""
    return sum(type(each) is kind for each in gc.get_objects())


def counting(kind: type, most: list[int]) -> Callable[..., Iterator[Any]]:
    """Return workers that note, job by job, how many objects of a class there are."""

    def fan_out(work: Callable[[Any], Any], jobs: Sequence[Any], **_shown: Any) -> Iterator[Any]:
        for job in jobs:
            most.append(alive(kind))
            yield work(job)

    return fan_out


# --- what a parent holds ---------------------------------------------------------------------------------------


def test_an_audit_holds_a_few_rows_as_objects_and_no_jobs_but_those_under_way(
    many: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "ROWS_AT_ONCE", FEW)
    rows: list[int] = []
    under_way: list[int] = []

    def fan_out(work: Callable[[Any], Any], jobs: Sequence[Any], **_shown: Any) -> Iterator[Any]:
        for number, job in enumerate(jobs):
            if number % 20 == 19:  # to look through all that is alive takes its time
                rows.append(alive(AuditedRow))
                under_way.append(alive(examine.AuditJob))
            yield work(job)

    told = audit.run(audit.AuditParams(), many, replace(machine, fan_out=fan_out))
    assert (told.done, len(rows)) == (200, 10)
    assert max(rows) < 2 * FEW
    assert max(under_way) <= 2  # the one at work, and the one before


def test_a_split_makes_no_row_an_object(many: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any) -> None:
        raise AssertionError("a row object")

    for kind in (AuditedRow, SplitRow):
        monkeypatch.setattr(kind, "__init__", refuse)
    assert split.run(split.SplitParams(), many, machine).done == 200


def test_normalize_holds_the_rows_of_the_shards_under_way(
    many: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalize, "FILMS_PER_SHARD", FEW)
    rows: list[int] = []
    params = normalize.NormalizeParams(height=16, width=18)
    normalize.run(params, many, replace(machine, fan_out=counting(SplitRow, rows)))
    assert len(rows) > 200 / FEW
    assert max(rows) <= 2 * FEW  # of the job at work, and of the one before


def test_augment_holds_the_rows_of_the_shards_under_way(
    many: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalize.run(normalize.NormalizeParams(height=16, width=18), many, machine)
    monkeypatch.setattr(shards, "IMAGES_PER_SHARD", 2 * FEW)
    rows: list[int] = []
    params = AugmentParams(copies=1)
    augment.run(params, many, replace(machine, fan_out=counting(NormalizedRow, rows)))
    assert len(rows) > 100 / FEW
    assert max(rows) <= 2 * FEW


def test_jobs_are_made_when_asked_for_and_anew_each_time() -> None:
    asked: list[int] = []

    def make(number: int) -> str:
        asked.append(number)
        return f"job {number}"

    jobs = Made(make, 5)
    assert (len(jobs), asked) == (5, [])
    assert jobs[3] == jobs[-2] == "job 3"
    assert asked == [3, 3]
    assert list(jobs[::-2]) == ["job 4", "job 2", "job 0"]
    assert list(jobs) == [f"job {number}" for number in range(5)]
    with pytest.raises(IndexError):
        jobs[5]


# --- thumbnails ------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 255) | st.none(), max_size=6), st.data())
def test_thumbnails_come_back_as_an_arrays_rows(
    tmp_path_factory: pytest.TempPathFactory, levels: list[int | None], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("thumbnails") / "deep"
    films = [bytes([level]) * SIDE**2 if level is not None else b"" for level in levels]
    array = np.array([np.frombuffer(film or bytes(SIDE**2), np.uint8) for film in films]).reshape(-1, SIDE**2)
    with Thumbnails(folder) as thumbnails:
        for film in films:
            thumbnails.add(film)
        assert len(thumbnails) == len(films)
        places = data.draw(st.lists(st.integers(0, len(films) - 1))) if films else []
        for wanted in (np.array(places, np.int64), slice(1, 4)):
            np.testing.assert_array_equal(thumbnails[wanted], array[wanted])
        assert list(folder.iterdir() if films else []) == []  # the file has no name
        assert folder.exists() == bool(films)  # a run that fails before leaves no trace


# --- columns say what rows say ---------------------------------------------------------------------------------

FILMS = st.lists(
    st.fixed_dictionaries(
        {
            "label": st.sampled_from(["a", "b", "c", None]),
            "group": st.sampled_from(["p1", "p2", None]),
            "status": st.sampled_from(["ok", "truncated"]),
        }
    ),
    max_size=12,
)


@given(FILMS, st.sampled_from([("a",), ("b", "a"), ("a", "b", "c"), ()]))
def test_classes_and_patients_are_what_each_row_alone_would_get(films: list[Any], classes: tuple[str, ...]) -> None:
    rows = []
    for number, film in enumerate(films):
        film_id = f"{number:064d}" if number % 3 else None
        named = Named(film["label"], film["group"], None, "ok" if film["label"] else "unlabelled")
        rows.append(film_row(f"{number}.png", Examined(film["status"], None, film_id), named, Frame(8, 8)))
    found = AUDITED.rows(classified(AUDITED.table(rows), classes))
    for row, told in zip(rows, found, strict=True):
        known = row.label in classes
        own = f"film/{(row.film_id or row.path)[:12]}" if known else None
        wrong = row.status == "ok" and not known
        assert told == replace(
            row,
            label=row.label if known else None,
            label_index=classes.index(str(row.label)) if known else None,
            group_id=row.group_id or own,
            status="unlabelled" if wrong else row.status,
            reason=f"label '{row.label}' is none of the classes {', '.join(classes)}" if wrong else row.reason,
        )


def divided_row_by_row(rows: Sequence[AuditedRow], params: split.SplitParams) -> dict[str, str | None]:
    """Return the split of each film, found row by row: what the columns must say as well."""
    cluster = clusters_row_by_row(rows)
    films = [row for row in rows if row.status == "ok"]
    unit = {row.path: str(row.film_id) if params.unit == "film" else cluster[str(row.group_id)] for row in films}
    delivered = [row for row in films if row.delivered_split == "test"]
    tested = {unit[row.path] for row in delivered}
    pool = [row for row in films if row.delivered_split != "test"]
    if not delivered:
        tested = draw_share(units_row_by_row(pool, unit), params.test_fraction, seed=params.seed, purpose="test")
    crossing = [row for row in pool if unit[row.path] in tested]
    pool = [row for row in pool if unit[row.path] not in tested]
    held = draw_share(units_row_by_row(pool, unit), params.val_fraction, seed=params.seed, purpose="val")
    rest = [row for row in pool if unit[row.path] not in held]
    probe: set[str] = set()
    for label, of_label in Counter(str(row.label) for row in pool).items():
        ids = [str(row.film_id) for row in rest if row.label == label]
        number = rounded_share(params.leak_probe_fraction, of_label)
        probe |= draw_number(ids, number, seed=params.seed, purpose="leak_probe")
    splits: dict[str, str | None] = {row.path: "test" for row in delivered}
    splits |= {row.path: None if delivered else "test" for row in crossing}
    splits |= {row.path: "val" for row in pool if unit[row.path] in held}
    return splits | {row.path: "leak_probe" if row.film_id in probe else "train" for row in rest}


def clusters_row_by_row(rows: Sequence[AuditedRow]) -> dict[str, str]:
    """Return the name of each group's patient: the smallest of the groups that are reached over twins."""
    group = {row.path: str(row.group_id) for row in rows}
    cluster = {name: name for name in group.values()}
    for _ in rows:  # brute force, until it rests
        for row in rows:
            for twin in (row.exact_duplicate_of, row.near_duplicate_of):
                if twin is not None:
                    smaller = min(cluster[group[row.path]], cluster[group[twin]])
                    cluster[group[row.path]] = cluster[group[twin]] = smaller
    return cluster


def units_row_by_row(rows: Sequence[AuditedRow], unit: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the units of some films by their most frequent class, of classes as frequent by the first."""
    labels = gathered([unit[row.path] for row in rows], [str(row.label) for row in rows])
    of_class = {name: Counter(sorted(found)).most_common(1)[0][0] for name, found in labels.items()}
    return gathered(list(of_class.values()), list(of_class))


SPLIT_FILMS = st.lists(
    st.tuples(
        st.sampled_from(["normal", "bacterial", "viral"]),
        st.integers(0, 15),
        st.sampled_from(["train", "train", "train", "test", None]),
        st.sampled_from([None, None, None, None, "near_duplicate_of", "exact_duplicate_of"]),
        st.integers(0, 39),
    ),
    min_size=1,
    max_size=40,
)


@given(SPLIT_FILMS, st.booleans(), st.sampled_from(["patient", "film"]))
def test_columns_are_split_as_rows_are(audited: Audited, drawn: list[Any], delivers: bool, unit: Any) -> None:  # noqa: FBT001 - drawn
    rows = []
    for number, (label, patient, delivered, how, twin) in enumerate(drawn):
        told: dict[str, Any] = {how: f"{twin % number:02d}"} if how and number else {}
        told |= {"status": "duplicate"} if "exact_duplicate_of" in told else {}
        told |= {"delivered_split": delivered if delivers else None}
        rows.append(audited(f"{number:02d}", label=label, group_id=f"p{patient}", **told))
    table, params = AUDITED.table(rows), split.SplitParams(unit=unit, test_fraction=0.2, val_fraction=0.3)
    usable, patients = ok_rows(table), clusters_of(table)
    found = split.split_rows(usable, split.assign(usable, patients, params))
    splits = divided_row_by_row(rows, params)
    assert dict(zip(found.column("path").to_pylist(), found.column("split").to_pylist(), strict=True)) == splits
    cluster = clusters_row_by_row(rows)
    sides: dict[str, set[str]] = {}
    for row in SPLIT.rows(found):
        if row.split is not None:
            sides.setdefault(cluster[str(row.group_id)], set()).add(row.split.replace("leak_probe", "train"))
    assert split.crossing_clusters(found, patients) == sorted(name for name, of in sides.items() if len(of) > 1)


def test_a_group_or_a_twin_that_nobody_knows_is_named(audited: Audited) -> None:
    rows = AUDITED.table([audited("a", group_id="p1"), audited("b", group_id="p2")])
    with pytest.raises(KeyError, match="p2"):
        clusters_of(rows.slice(0, 1)).of(rows)
    with pytest.raises(KeyError, match="gone"):
        clusters_of(AUDITED.table([audited("a", near_duplicate_of="gone")]))


@given(st.lists(st.sampled_from(["ok", "empty", "truncated", "crashed"])))
def test_statuses_are_counted_the_most_frequent_first(audited: Audited, statuses: list[Any]) -> None:
    column = AUDITED.table([audited(f"{at}", status=status) for at, status in enumerate(statuses)]).column("status")
    counted = Counter(statuses)
    assert list(tallied(column).items()) == list(counted.items())
    bad = [(status, number) for status, number in counted.items() if status != "ok"]
    assert list(set_aside(column).items()) == sorted(bad, key=lambda one: (-one[1], one[0]))


def test_what_is_put_into_some_columns_leaves_all_else(audited: Audited) -> None:
    rows = [audited(name) for name in "abcd"]
    others = [audited("x", status="empty"), audited("y", status="truncated")]
    found = put(AUDITED.table(rows), np.array([3, 1]), AUDITED.table(others), "status")
    told = [rows[0], replace(rows[1], status="truncated"), rows[2], replace(rows[3], status="empty")]
    assert AUDITED.rows(found) == told


def test_some_columns_of_a_manifest_are_read_and_checked_alone(project: Path) -> None:
    path = project / paths.NORMALIZED_MANIFEST
    whole, some = store.read_table(NORMALIZED, path), store.read_table(NORMALIZED.only("split", "film_id"), path)
    assert some.column_names == ["film_id", "split"]
    assert some.equals(whole.select(some.column_names))
    assert NORMALIZED.only("split").only() == NORMALIZED
