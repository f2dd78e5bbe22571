"""Jobs on this machine, by joblib: worker processes that films may end, threads, or neither."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import joblib
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pipeline.backends.handed import HandedOut
from pipeline.careful import Careful
from pipeline.watched import Watched, arm, disarm, prepare, undisturbed
from stages.contract import Retry, heard

Job = TypeVar("Job")
Result = TypeVar("Result")
Numbered = Iterator[tuple[int, Result]]


def sequentially(work: Callable[[Job], Result], handed: HandedOut[Job]) -> Numbered[Result]:
    """Yield each job's number and result, one after the other, in this process."""
    yield from (numbered(work, index, job) for index, job in handed)


def in_threads(work: Callable[[Job], Result], handed: HandedOut[Job], *, jobs: int) -> Numbered[Result]:
    """Yield each job's number and result from so many threads of this process; 0 for one per core."""
    if len(handed.jobs) < 2:
        yield from sequentially(work, handed)
        return
    with joblib.parallel_config(backend="threading"):
        parallel = joblib.Parallel(n_jobs=workers(jobs), return_as="generator_unordered")
        yield from parallel(joblib.delayed(numbered)(work, *item) for item in handed)


def in_processes(
    work: Callable[[Job], Result],
    handed: HandedOut[Job],
    retry: Retry[Job] | None,
    *,
    jobs: int,
    film_timeout_s: float,
) -> Numbered[Result]:
    """Yield the results of worker processes; jobs that may have been under way when one died are done carefully.

    One worker is a process as well: a film that ends it must not end the run, on 1 worker as on 8.
    """
    one_by_one: Callable[[Job], Result] = partial(on_one_thread, work)
    careful = Careful(one_by_one, retry, handed.jobs, Watched(film_timeout_s))
    while handed.any_left and workers(jobs) > 1:
        try:
            yield from _pool(work, handed, workers(jobs), film_timeout_s)
        except TerminatedWorkerError:
            yield from careful([*handed.under_way.items()])
    yield from careful([*handed.under_way.items()])  # what a pool took while it died
    yield from careful(handed)


def _pool(
    work: Callable[[Job], Result], handed: HandedOut[Job], processes: int, film_timeout_s: float
) -> Numbered[Result]:
    """Yield each job's number and result."""
    calls = (joblib.delayed(_watched)(work, index, job, film_timeout_s) for index, job in handed)
    worker = {"inner_max_num_threads": 1, "initializer": prepare, "initargs": (os.getpid(),)}
    with joblib.parallel_config(backend="loky", **worker):
        resource_tracker.ensure_running()  # its start would let the keyboard go again
        parallel = joblib.Parallel(n_jobs=processes, return_as="generator_unordered")
        results: Numbered[Result] = iter(())
        try:
            with undisturbed():
                results = parallel(calls)
            for result in results:  # noqa: UP028 - `yield from` would close it, with joblib's words on that
                yield result
        finally:
            end(results)


def workers(jobs: int) -> int:
    """Return how many workers are meant; 0 stands for one per core."""
    return jobs or joblib.cpu_count()


def dismiss() -> None:
    """End the worker processes that wait for more: nothing is left to do, and their goodbyes take a quarter second."""
    loky = sys.modules.get("joblib.externals.loky.reusable_executor")
    executor: Any = getattr(loky, "_executor", None)
    if executor is not None:
        executor.shutdown(kill_workers=True)


def numbered(work: Callable[[Job], Result], index: int, job: Job) -> tuple[int, Result]:
    """Return a job's number and what comes of it."""
    return index, on_one_thread(work, job)


def on_one_thread(work: Callable[[Job], Result], job: Job) -> Result:
    """Return what comes of a job, done on one thread."""
    _use_one_thread()
    return work(job)


def _watched(work: Callable[[Job], Result], index: int, job: Job, film_timeout_s: float) -> tuple[int, Result]:
    """Do a job in a worker process that ends itself where a film takes too long."""

    def film_begins(_film: str) -> None:
        arm(film_timeout_s)

    with heard(film_begins):
        try:
            return numbered(work, index, job)
        finally:
            disarm()


def _use_one_thread() -> None:
    """Let OpenCV use one thread: the workers fill the cores already. Nothing happens where it is not loaded."""
    opencv: Any = sys.modules.get("cv2")
    if opencv is not None and opencv.getNumThreads() > 1:
        opencv.setNumThreads(1)


def end(results: Iterator[Any]) -> None:
    """End what is under way, if anything: the run is ending, so joblib's warning of work in vain tells nobody."""
    if isinstance(results, Generator):
        with warnings.catch_warnings(), _loky_stumbles_in_silence():
            warnings.simplefilter("ignore")
            results.close()


@contextmanager
def _loky_stumbles_in_silence() -> Iterator[None]:
    """Let loky's thread end without a traceback while its jobs are taken from it.

    Told to kill its workers, it forgets the jobs that wait, then looks for one of them by its number and finds none
    (loky 3.6, `add_call_item_to_queue`). By then the workers are gone and the thread has nothing left to do.
    """
    before = threading.excepthook

    def told(arguments: threading.ExceptHookArgs) -> None:
        of_loky = arguments.thread is not None and arguments.thread.name == "ExecutorManagerThread"
        if not (of_loky and arguments.exc_type is KeyError):
            before(arguments)

    threading.excepthook = told
    try:
        yield
    finally:
        threading.excepthook = before
