"""Planted faults are found by the audit, every one, and nothing else is: the proof that phantoms are made for."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

import pytest

from manifests import store
from manifests.rows import AUDITED, SPLIT, AuditedRow, Flag, Status
from stages import audit, paths, phantom, split
from stages.auditing.quality import SENTENCES
from stages.contract import Machine
from stages.films.phantom_faults import FAULTS, KINDS, NEAR
from stages.films.phantom_plan import Fault
from tests.conftest import in_order, silent

SETS = ((0, 12, 600), (1, 30, 300), (2, 70, 400))  # seed, good films, longest side
NO_FAULT_OF_A_FILE = {"unreadable", "missing", "crashed", "timed_out"}  # of a folder, a CSV, a process
OF_THE_PICTURE = {sentence.split(":")[0] for sentence in SENTENCES.values()}
Truth = dict[str, dict[str, str]]  # by path


@dataclass(frozen=True)
class Audited:
    """A set of phantoms: what was planted, what the audit says, and which status the split adds."""

    truth: Truth
    rows: dict[str, AuditedRow]
    after_split: dict[str, Status]


@pytest.fixture(scope="module", params=SETS, ids=lambda one: "seed {}, {} films of {} px".format(*one))
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """Return what was planted in a set of phantoms with every fault, and what was found."""
    seed, films, side = request.param
    root = tmp_path_factory.mktemp("phantoms")
    machine = Machine(fan_out=in_order, track=silent)  # a module's fixture cannot ask for a test's machine
    params = phantom.PhantomParams(films=films, seed=seed, faults="all", longest_side_px=side)
    phantom.run(params, root, machine)
    audit.run(audit.AuditParams(), root, machine)
    split.run(split.SplitParams(), root, machine)
    with (root / "data/raw-truth.csv").open() as table:
        truth = {row["path"]: row for row in csv.DictReader(table)}
    rows = {row.path: row for row in store.read(AUDITED, root / paths.AUDIT)}
    return Audited(truth, rows, {row.path: row.status for row in store.read(SPLIT, root / paths.SPLIT)})


def test_every_file_gets_the_status_that_was_planted_and_no_other(found: Audited) -> None:
    told = {path: found.after_split.get(path, row.status) for path, row in found.rows.items()}
    assert told == {path: row["expected_status"] for path, row in found.truth.items()}


def test_every_film_gets_the_warning_that_was_planted_and_no_other(found: Audited) -> None:
    def kinds(row: AuditedRow) -> set[str]:
        return {text.split(":")[0] for text in (row.warning or "").split("; ") if text} - OF_THE_PICTURE

    told = {path: kinds(row) for path, row in found.rows.items() if row.status == "ok"}
    assert told == {path: {found.truth[path]["warning"]} - {""} for path in told}


def test_every_film_gets_the_flags_that_were_planted_and_no_other(found: Audited) -> None:
    """A good film's letter is none of them, and may be seen or not; where there is none, none may be seen."""
    for path, row in found.rows.items():
        if row.status == "ok":
            planted = set(found.truth[path]["flags"].split())
            may_be = {"burnt_in"} if found.truth[path]["letter"] else set()
            assert row.flags is not None
            assert set(row.flags) - may_be == planted, f"{path}: planted {found.truth[path]['fault']}"


def test_a_flag_of_the_picture_is_a_warning_as_well(found: Audited) -> None:
    for row in found.rows.values():
        for flag, sentence in SENTENCES.items():
            assert (sentence in (row.warning or "")) == (flag in (row.flags or ()))


def test_most_letters_of_films_large_enough_are_seen(found: Audited) -> None:
    letters = [
        row.flags
        for path, row in found.rows.items()
        if found.truth[path]["letter"] and row.status == "ok" and row.mode != "1" and min(row.height or 0, 999) >= 200
    ]
    assert sum("burnt_in" in (flags or ()) for flags in letters) >= 0.6 * len(letters) > 3


def _together(pairs: Iterable[tuple[str, str]]) -> set[frozenset[str]]:
    """Return the films that pairs hold together."""
    groups: list[set[str]] = []
    for pair in pairs:
        joined = [group for group in groups if group & set(pair)]
        groups = [group for group in groups if group not in joined] + [set(pair).union(*joined)]
    return {frozenset(group) for group in groups}


def _planted(found: Audited, faults: Iterable[str]) -> set[frozenset[str]]:
    rows = found.truth.values()
    return _together((row["path"], row["duplicate_of"]) for row in rows if row["fault"] in set(faults))


def _told(found: Audited) -> set[frozenset[str]]:
    same = [(row.path, row.exact_duplicate_of or row.near_duplicate_of) for row in found.rows.values()]
    return _together((path, other) for path, other in same if other is not None)


def test_the_films_called_the_same_are_the_planted_copies_and_no_others(found: Audited) -> None:
    """Films of one patient may be called the same: they are in one group anyhow."""
    first: dict[str, str] = {}
    siblings = [(path, first.setdefault(row["group"], path)) for path, row in found.truth.items() if row["group"]]
    copies = [(path, row["duplicate_of"]) for path, row in found.truth.items() if row["duplicate_of"]]
    real = _together([*siblings, *copies])
    assert all(any(together <= one for one in real) for together in _told(found))


@pytest.mark.parametrize("fault", NEAR)
def test_a_copy_of_any_kind_is_found(found: Audited, fault: Fault) -> None:
    told = _told(found)
    assert all(any(pair <= together for together in told) for pair in _planted(found, [fault]))


def test_there_is_a_fault_for_whatever_the_audit_can_say_of_a_file() -> None:
    kinds = KINDS.values()
    assert {kind.status for kind in kinds} | NO_FAULT_OF_A_FILE == set(get_args(Status))
    assert {flag for kind in kinds for flag in kind.flags} == set(get_args(Flag))
    assert set(KINDS) == set(FAULTS)


def test_every_fault_asked_for_is_planted_twice_or_more(found: Audited) -> None:
    told = [row["fault"] for row in found.truth.values()]
    assert all(told.count(fault) >= 2 for fault in FAULTS)


def test_borders_are_as_deep_as_they_were_planted(found: Audited) -> None:
    for path, row in found.rows.items():
        if found.truth[path]["fault"] == "black_border":
            assert row.width is not None
            assert row.border_left == pytest.approx(0.2 * row.width, abs=4)
            assert row.border_right == pytest.approx(0.2 * row.width, abs=4)
