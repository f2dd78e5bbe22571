"""Whom to blame where processes die: on a process that is played, since a real one takes a second to start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline.careful import ATTEMPTS, Careful
from pipeline.watched import Died, Done
from stages.contract import CxrError, heard
from tests.attacks.works import BOXES, Box, boxes_of_four, work_on


class FatalError(Exception):
    """A film that ends its process began."""


@dataclass
class Played:
    """Does jobs here and now, as a process that some films end, and that is ended itself now and then.

    Attributes:
        fatal: tells whether a film ends it.
        ends: how often it was ended by its owner.
    """

    fatal: Callable[[str], bool]
    ends: int = 0
    began: list[str] = field(default_factory=list)

    def ask(self, work: Callable[[Any], Any], job: Any) -> Any:
        self.began = []
        try:
            with heard(self.begin):
                return Done(work(job), bool(self.began))
        except FatalError:
            return Died("SIGSEGV", False, self.began[-1], self.began[-2] if len(self.began) > 1 else None)

    def begin(self, film: str) -> None:
        self.began.append(film)
        if self.fatal(film):
            raise FatalError

    def end(self) -> None:
        self.ends += 1


def results(boxes: list[Box], fatal: Callable[[str], bool]) -> list[list[str]]:
    process = Played(fatal)
    careful: Careful[Box, list[str]] = Careful(work_on, BOXES, boxes, process)
    found = [result for _, result in careful(enumerate(boxes))]
    assert process.ends > 0
    return found


def bad(film: str) -> bool:
    return film.startswith("bad")


def test_films_that_end_their_process_are_each_left_out_and_the_others_are_done() -> None:
    boxes = boxes_of_four(4, *(f"bad{number}" for number in range(6)))
    found = results(boxes, bad)
    assert sorted(text for result in found for text in result if ":" not in text) == sorted(
        film.upper() for box in boxes for film in box.films if not bad(film)
    )
    assert sum(text.startswith("bad") and ": crashed: " in text for result in found for text in result) == 6


def test_films_that_all_end_their_process_are_the_machines_fault() -> None:
    boxes = [Box(tuple(f"{box}{film}" for film in "abcd")) for box in range(9)]
    with pytest.raises(CxrError, match=r"5 films in a row .* \(SIGSEGV\), and so did all 3 jobs .* the machine"):
        results(boxes, lambda _film: True)


def test_bad_films_one_after_the_other_are_no_machines_fault_while_others_do_well() -> None:
    boxes = [*[Box((f"bad {number}",)) for number in range(12)], *boxes_of_four(3)]
    found = results(boxes, bad)
    assert [len(result) for result in found] == [1] * 12 + [4] * 3
    assert all(": crashed: " in result[0] for result in found[:12])


def test_a_process_that_dies_of_films_that_alone_do_no_harm_is_tried_again_and_then_given_up() -> None:
    tries: list[str] = []

    def at_first(film: str) -> bool:
        tries.append(film)
        return film == "1b" and tries.count(film) in times

    boxes = boxes_of_four(2)
    times = [1, 3]  # in the box; the second time is that film alone
    assert results(boxes, at_first) == [[film.upper() for film in box.films] for box in boxes]
    tries, times = [], [1, 3, 5]
    with pytest.raises(CxrError, match=rf"died \(SIGSEGV\) {ATTEMPTS} times while it worked on 1b, and no film is to"):
        results(boxes, at_first)
