"""Patients: how many films they have, which cross, what the rule does, and which crossings are false alarms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.rows import AUDITED, AuditedRow
from stages.auditing.figures import usable
from stages.auditing.groups import LISTED, groups, parts_of

Audited = Callable[..., AuditedRow]


def found(rows: list[AuditedRow], *rule: str) -> dict[str, Any]:
    return groups(usable(AUDITED.table(rows)), *rule)


def films(audited: Audited, of: Sequence[tuple[str, str | None]]) -> list[AuditedRow]:
    return [audited(f"{at}.png", group_id=group, delivered_split=split) for at, (group, split) in enumerate(of)]


SPLITS = st.sampled_from(["train", "val", "test", None])


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), SPLITS), max_size=40))
def test_patients_are_counted_by_their_films_and_those_that_cross_are_all_found(
    audited: Audited, of: list[tuple[str, str | None]]
) -> None:
    told = found(films(audited, of))
    counts = Counter(group for group, _ in of)
    assert told["count"] == len(counts)
    assert told["largest"] == max(counts.values(), default=0)
    assert sum(told["sizes"].values()) == len(counts)
    assert told["sizes"].get("1", 0) == sum(number == 1 for number in counts.values())
    assert told["sizes"].get("more", 0) == sum(number > 10 for number in counts.values())
    where = {group: {split for name, split in of if name == group and split} for group in counts}
    crossing = sorted(group for group, splits in where.items() if len(splits) > 1)
    assert [one["group"] for one in told["crossing"]] == crossing
    assert told["crossing_any"] == len(crossing)
    for one in told["crossing"]:
        assert one["films"] == {
            split or "none": number
            for split, number in Counter(split for name, split in of if name == one["group"]).items()
        }


def test_of_many_patients_that_cross_the_first_are_listed(audited: Audited) -> None:
    of = [(f"p{at:03d}", split) for at in range(LISTED + 9) for split in ("train", "test")]
    told = found(films(audited, of))
    assert (told["crossing_any"], len(told["crossing"])) == (LISTED + 9, LISTED)


KERMANY = [
    ("bacterial/person/1", "train"),
    ("viral/person/1", "test"),  # the number and the series are those of another child
    ("normal/IM/7", "train"),
    ("normal/NORMAL2-IM/7", "test"),
    ("normal/IM/1", "train"),
    ("bacterial/person/9", "train"),
    ("bacterial/person/9", "test"),  # the same child
]


def test_numbers_that_restart_are_false_alarms_and_a_patient_in_both_is_none(audited: Audited) -> None:
    told = {tuple(one["ignored"]): one for one in found(films(audited, KERMANY), "kermany")["false_alarms"]}
    assert set(told) == {("class",), ("series",), ("class", "series")}
    counts = {left_out: (one["crossing"], one["real"], one["false"]) for left_out, one in told.items()}
    assert counts == {("class",): (2, 1, 1), ("series",): (2, 1, 1), ("class", "series"): (3, 1, 2)}
    assert told["class",]["example"] == {
        "name": "person/1",
        "patients": ["bacterial/person/1", "viral/person/1"],
    }


def test_names_of_one_part_have_nothing_to_leave_out(audited: Audited) -> None:
    assert found(films(audited, KERMANY), "folder")["false_alarms"] == []
    assert found(films(audited, KERMANY), "folder", r"p(\d+)")["false_alarms"] == []


@pytest.mark.parametrize(
    ("source", "pattern", "parts"),
    [
        ("kermany", "", ("class", "series", "number")),
        ("folder", "", ()),
        ("kermany", r"p\d+", ()),
        ("csv", r"(?P<site>\w+)-(?P<patient>\d+)(_\d+)?", ("site", "patient")),
        ("csv", r"(\w+)-(\d+)", ("part 1", "part 2")),
    ],
)
def test_the_parts_of_a_name_are_those_of_the_rule(source: str, pattern: str, parts: tuple[str, ...]) -> None:
    assert parts_of(source, pattern) == parts


def test_the_rules_films_and_those_it_leaves_alone_are_told_apart(audited: Audited) -> None:
    rows = films(audited, [("p1", None), ("p1", None), ("film/0123456789ab", None), ("film/a", None)])
    rule = found(rows)["rule"]
    assert (rule["matched"], rule["left_alone"]) == (3, 1)
    assert rule["left_alone_examples"] == ["2.png"]
    assert {"path": "0.png", "group_id": "p1"} in rule["examples"]
