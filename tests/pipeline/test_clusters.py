"""A real Dask cluster and a real Ray node on this machine: the same results as worker processes, whatever dies."""

from __future__ import annotations

import os
import signal
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipeline import workers
from pipeline.backends import terms
from pipeline.workers import Workers
from stages.contract import CxrError, Made, StageError
from tests.attacks.clusters import Cluster
from tests.pipeline.test_workers import BOXES, Box, _boxes, fail_at_three, opencv_threads, square, work_on


@contextmanager
def _silent(_total: int, *, unit: str) -> Iterator[Callable[..., None]]:  # noqa: ARG001 - the signature of Track
    yield lambda *_done: None


@pytest.fixture
def on(cluster: Cluster) -> Iterator[Workers]:
    """Return workers on a cluster; afterwards, the workers of the cluster have nothing left of the run."""
    yield Workers(
        backend=cluster.backend,  # type: ignore[arg-type]  # one of them
        jobs=0,
        track=_silent,
        scheduler=cluster.address if cluster.backend == "dask" else "",
        address=cluster.address if cluster.backend == "ray" else "",
    )
    workers.dismiss()
    deadline = time.monotonic() + 10
    while cluster.serving() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not cluster.serving()


class Load:
    """A job that knows how many of its kind there are in this process."""

    alive: ClassVar[weakref.WeakSet[Load]] = weakref.WeakSet()

    def __init__(self, number: int) -> None:
        self.number = number
        self.alive.add(self)

    def __reduce__(self) -> Any:
        return int, (self.number,)


def after_a_while(number: int) -> int:
    time.sleep(0.01)
    return number


def where(_number: int) -> tuple[int, int, str]:
    return os.getpid(), os.getppid(), str(Path.cwd())


def test_results_come_in_the_order_of_the_jobs_and_few_jobs_are_held(on: Workers) -> None:
    held = []
    jobs: Any = Made(Load, 300)
    for number, result in enumerate(on(after_a_while, jobs, total=300)):
        assert result == number
        held.append(len(Load.alive))
    assert len(held) == 300
    assert max(held) < 200  # two workers, twice as many tasks, each of half a second


def test_progress_is_told_while_the_run_goes_on(on: Workers) -> None:
    told: list[int] = []
    seen = [len(told) for _ in on(after_a_while, range(200), within=told.append)]
    assert sum(told) == 200
    assert seen[0] < 100  # the first results come long before the last


def test_work_is_done_in_processes_of_their_own_on_one_thread_in_the_runs_folder(
    on: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = list(on(where, range(8)))
    assert {folder for _, _, folder in found} == {str(tmp_path)}
    assert not {pid for pid, _, _ in found} & {parent for _, parent, _ in found}
    assert list(on(opencv_threads, range(4))) == [1] * 4


def test_an_error_in_a_job_reaches_the_caller_as_itself(on: Workers) -> None:
    with pytest.raises(StageError, match="three"):
        list(on(fail_at_three, range(8)))
    assert list(on(square, range(8))) == [n * n for n in range(8)]


def test_films_that_end_or_hold_their_process_are_left_out_by_name_and_all_others_are_done(on: Workers) -> None:
    boxes = _boxes(6, "segfault", "hang")
    results = list(replace(on, film_timeout_s=1.0)(work_on, boxes, retry=BOXES))
    assert [results[0], *results[2:]] == [[film.upper() for film in box.films] for box in (boxes[0], *boxes[2:])]
    assert results[1][:2] == ["1A", "1D"]
    assert "segfault: crashed: ended the process that worked on it, also alone (SIGSEGV)" in results[1][2]
    assert "hang: timed_out: took longer than 1 s" in results[1][3]


def test_a_process_that_is_killed_once_costs_no_film(on: Workers, tmp_path: Path) -> None:
    boxes = _boxes(5, "once")
    results = list(on(partial(work_on, notes=tmp_path), boxes, retry=BOXES))
    assert results == [[film.upper() for film in box.films] for box in boxes]


def test_films_that_all_crash_are_the_machines_fault(on: Workers) -> None:
    boxes = [Box(tuple(f"kill {box}{film}" for film in range(2))) for box in range(4)]
    with pytest.raises(CxrError, match=r"5 films in a row .* this is the machine"):
        list(on(work_on, boxes, retry=BOXES))


def test_a_worker_that_is_killed_is_survived(on: Workers, cluster: Cluster) -> None:
    results = []
    for number, result in enumerate(on(after_a_while, range(300))):
        results.append(result)
        if number == 60:
            os.kill(cluster.workers()[-1], signal.SIGKILL)  # of Dask's, the one with a nanny
    assert results == list(range(300))
    deadline = time.monotonic() + 20
    while cluster.backend == "dask" and len(cluster.workers()) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)


def test_workers_of_other_versions_are_refused_by_name(on: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {**terms.deciding(), "opencv-python-headless": "1.2.3"}
    theirs = terms.deciding()["opencv-python-headless"]
    monkeypatch.setattr(terms, "deciding", lambda: ours)
    with pytest.raises(CxrError) as refused:
        list(on(square, range(3)))
    assert str(refused.value).startswith(("worker tcp://127.0.0.1:", "worker 127.0.0.1 (Ray node "))
    assert f"has opencv-python-headless {theirs}; this run has opencv-python-headless 1.2.3" in str(refused.value)


def test_workers_that_see_another_root_are_refused(
    on: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terms.terms_of([tmp_path], film_timeout_s=1) as agreed:
        assert not terms.unmet(agreed)
        assert len(list(tmp_path.iterdir())) == 1
    assert "sees another" in terms.unmet(agreed)  # the file is gone: as on a machine where it never was
    assert not list(tmp_path.iterdir())
    tmp_path.joinpath("here").touch()
    monkeypatch.setattr(terms, "_some_names", lambda _folder: ("elsewhere",))
    with pytest.raises(CxrError, match=r"worker .* sees another .*elsewhere is not there.*use a shared folder"):
        list(replace(on, folders=(tmp_path,))(square, range(3)))
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
