from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import pytest

from pipeline.workers import Workers
from stages.contract import CxrError, ParamsError, StageError


@contextmanager
def _silent(_total: int, *, unit: str) -> Iterator[Callable[..., None]]:  # noqa: ARG001 - the signature of Track
    yield lambda *_done: None


def _workers(backend: Any, jobs: int = 2) -> Workers:
    return Workers(backend=backend, jobs=jobs, track=_silent)


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise StageError("three")
    return number


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def opencv_threads(_number: int) -> int:
    return int(cv2.getNumThreads())


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_results_come_in_the_order_of_the_jobs(backend: str, jobs: int) -> None:
    assert _workers(backend, jobs)(square, range(50)) == [n * n for n in range(50)]


def test_no_jobs_give_no_results() -> None:
    assert _workers("loky")(square, []) == []


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_an_error_in_a_job_reaches_the_caller_as_itself(backend: str) -> None:
    with pytest.raises(StageError, match="three"):
        _workers(backend)(fail_at_three, range(8))


def test_a_worker_that_is_killed_ends_the_run_with_what_to_do() -> None:
    with pytest.raises(CxrError, match="a worker process died"):
        _workers("loky")(die, range(8))


def test_progress_adds_up_to_the_weights() -> None:
    seen: dict[str, Any] = {"done": 0}

    @contextmanager
    def counting(total: int, *, unit: str) -> Iterator[Callable[..., None]]:
        seen.update(total=total, unit=unit)

        def advance(done: int = 1, _text: str = "") -> None:
            seen["done"] += done

        yield advance

    workers = Workers(backend="threading", jobs=2, track=counting)
    workers(square, [1, 2, 3], unit="images", weigh=lambda job: job * 10)
    assert seen == {"done": 60, "total": 60, "unit": "images"}


@pytest.mark.parametrize(("backend", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_extra_is_named(backend: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ParamsError, match=rf"cxr-pipeline\[{backend}\]"):
        _workers(backend)(square, range(3))


def test_a_workers_opencv_uses_one_thread() -> None:
    assert _workers("loky")(opencv_threads, range(8)) == [1] * 8
