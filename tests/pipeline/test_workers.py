from __future__ import annotations

import multiprocessing
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipeline import workers
from pipeline.backends import local
from pipeline.backends.handed import HandedOut
from pipeline.workers import Workers
from stages.contract import CxrError, Made, ParamsError, StageError, begin, heard
from tests.attacks.works import (
    BOXES,
    boxes_of_four,
    die,
    end_early,
    fail_at_three,
    opencv_threads,
    square,
    work_on,
)
from tests.conftest import silent


def _workers(backend: Any, jobs: int = 2) -> Workers:
    return Workers(backend=backend, jobs=jobs, track=silent)


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_results_come_in_the_order_of_the_jobs(backend: str, jobs: int) -> None:
    assert list(_workers(backend, jobs)(square, range(50))) == [n * n for n in range(50)]


def test_no_jobs_give_no_results() -> None:
    assert list(_workers("loky")(square, [])) == []


class Load:
    """A job that knows how many of its kind there are in this process."""

    alive: ClassVar[weakref.WeakSet[Load]] = weakref.WeakSet()

    def __init__(self, number: int) -> None:
        self.number = number
        self.alive.add(self)


def number_of(load: Load) -> int:
    return load.number


@pytest.mark.parametrize("backend", ["sequential", "loky"])
def test_of_many_jobs_those_under_way_are_held_and_no_others(backend: str) -> None:
    held = []
    results = _workers(backend, 1)(number_of, Made(Load, 60), total=60)
    for number, result in enumerate(results):
        assert result == number
        held.append(len(Load.alive))
    assert len(held) == 60
    assert max(held) <= 2  # the one at work, and the one before


def test_each_job_is_handed_out_once_whoever_asks() -> None:
    handed = HandedOut(Made(str, 5))
    dying, living = iter(handed), iter(handed)
    assert [next(dying), next(living), next(dying)] == [(0, "0"), (1, "1"), (2, "2")]
    assert list(handed.under_way) == [0, 1, 2]
    handed.under_way.pop(1)
    assert handed.any_left
    assert [*living] == [(3, "3"), (4, "4")]
    assert not handed.any_left
    assert handed.under_way == {0: "0", 2: "2", 3: "3", 4: "4"}
    assert [*dying] == []


@pytest.mark.parametrize(("backend", "jobs"), [("sequential", 1), ("threading", 2), ("loky", 1), ("loky", 2)])
def test_an_error_in_a_job_reaches_the_caller_as_itself(backend: str, jobs: int) -> None:
    with pytest.raises(StageError, match="three"):
        list(_workers(backend, jobs)(fail_at_three, range(8)))


def test_a_worker_that_dies_of_a_job_ends_the_run_where_no_film_can_be_left_out() -> None:
    with pytest.raises(CxrError, match=r"died \(SIGKILL\) 3 times"):
        list(_workers("loky")(die, range(8)))


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_a_film_that_crashes_is_left_out_by_name_and_all_others_are_done(jobs: int) -> None:
    boxes = boxes_of_four(6, "segfault", "kill")
    results = list(_workers("loky", jobs)(work_on, boxes, retry=BOXES))
    assert [results[0], *results[2:]] == [[film.upper() for film in box.films] for box in (boxes[0], *boxes[2:])]
    good, failed = results[1][:2], results[1][2:]
    assert good == ["1A", "1D"]
    assert [text.split(":")[:2] for text in failed] == [["segfault", " crashed"], ["kill", " crashed"]]
    assert ["SIGSEGV" in failed[0], "SIGKILL" in failed[1]] == [True, True]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_film_that_hangs_is_left_out_and_its_process_ended(jobs: int) -> None:
    workers = replace(_workers("loky", jobs), film_timeout_s=0.5)
    results = list(workers(work_on, boxes_of_four(3, "hold"), retry=BOXES))
    assert results[0] == ["0A", "0B", "0C", "0D"]
    assert results[1][:3] == ["1A", "1C", "1D"]
    assert "hold: timed_out: took longer than 0.5 s" in results[1][3]
    assert not [child for child in multiprocessing.active_children() if "Spawn" in type(child).__name__]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_is_killed_once_costs_no_film(jobs: int, tmp_path: Path) -> None:
    boxes = boxes_of_four(5, "once")
    results = list(_workers("loky", jobs)(partial(work_on, notes=tmp_path), boxes, retry=BOXES))
    assert results == [[film.upper() for film in box.films] for box in boxes]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_that_sounds_like_a_dead_process_is_still_the_works_own(jobs: int) -> None:
    with pytest.raises(EOFError, match="the file ends"):
        list(_workers("loky", jobs)(end_early, range(3)))


def test_the_film_that_begins_is_heard_by_whoever_listens_and_by_nobody_else() -> None:
    films: list[str] = []
    begin("unheard")
    with heard(films.append):
        begin("heard")
    begin("unheard")
    assert films == ["heard"]


def test_progress_adds_up_to_the_weights() -> None:
    seen: dict[str, Any] = {"done": 0}

    @contextmanager
    def counting(total: int, *, unit: str) -> Iterator[Callable[..., None]]:
        seen.update(total=total, unit=unit)

        def advance(done: int = 1, _text: str = "") -> None:
            seen["done"] += done

        yield advance

    workers = Workers(backend="threading", jobs=2, track=counting)
    list(workers(square, [1, 2, 3], unit="images", weigh=lambda job: job * 10))
    assert seen == {"done": 60, "total": 60, "unit": "images"}


@pytest.mark.parametrize(("backend", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_extra_is_named(backend: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ParamsError, match=rf"cxr-pipeline\[{backend}\]"):
        list(_workers(backend)(square, range(3)))


def test_a_workers_opencv_uses_one_thread() -> None:
    assert list(_workers("loky")(opencv_threads, range(8))) == [1] * 8


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [("ExecutorManagerThread", KeyError, 0), ("mine", KeyError, 1), ("ExecutorManagerThread", OSError, 1)],
)
def test_a_run_that_ends_hides_the_stumble_of_lokys_thread_and_no_other(
    name: str, error: type[Exception], told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard_of: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", heard_of.append)

    def stumble() -> None:
        raise error(1)

    def results() -> Iterator[int]:
        try:
            yield 1
        finally:
            thread = threading.Thread(target=stumble, name=name)
            thread.start()
            thread.join()

    under_way = results()
    next(under_way)
    local.end(under_way)
    assert len(heard_of) == told
    assert threading.excepthook == heard_of.append


def test_dismissed_workers_are_gone_and_others_take_their_place() -> None:
    for _ in range(2):
        assert list(_workers("loky")(square, [1, 2, 3, 4])) == [1, 4, 9, 16]
        assert multiprocessing.active_children()
        workers.dismiss()
        assert not multiprocessing.active_children()
    workers.dismiss()  # of nobody


@pytest.mark.parametrize("backend", ["sequential", "loky"])
def test_a_part_of_a_larger_whole_tells_the_bar_that_is_shown_and_shows_none_of_its_own(backend: str) -> None:
    told: list[int] = []

    results = _workers(backend)(square, range(5), unit="films", weigh=lambda _job: 2, within=told.append)
    assert list(results) == [0, 1, 4, 9, 16]
    assert told == [2] * 5
