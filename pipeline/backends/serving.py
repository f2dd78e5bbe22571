"""What runs on a cluster's workers: jobs, each thread's in a process of its own that a film may end.

The cluster's own process is never ended by a film, nor does it do any film's work: it may have several threads, and
would have to be started anew by whoever started it.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pipeline.backends.terms import Terms, unmet
from pipeline.watched import Died, Done, Unwanted, Watched

Job = TypeVar("Job")
Result = TypeVar("Result")

IDLE_S = 60.0  # a process that has had nothing to do for so long is ended


@dataclass(frozen=True, slots=True)
class Task:
    """Some jobs for one worker.

    Attributes:
        terms: what the worker must agree with.
        work: what is done to a job.
        jobs: by number.
        seconds: no job is begun later than that; the rest comes back.
        fresh: whether they are done in a process that has done nothing before.
    """

    terms: Terms
    work: Callable[[Any], Any]
    jobs: tuple[tuple[int, Any], ...]
    seconds: float
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Raised:
    """What the work raised."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a task.

    Attributes:
        outcomes: of the jobs that were done, by number.
        seconds: what a job took, without the start of its process; 0 where that is not known.
        refused: why the worker does none of the run's jobs.
    """

    outcomes: tuple[tuple[int, Done[Any] | Died | Raised], ...] = ()
    seconds: float = 0.0
    refused: str = ""


@dataclass(slots=True)
class _Served(Generic[Job, Result]):
    """The process of one thread, and since when it is idle."""

    watched: Watched
    run: str
    busy: threading.Lock = field(default_factory=threading.Lock)
    idle_since: float = field(default_factory=time.monotonic)


_served: dict[int, _Served[Any, Any]] = {}  # by thread
_agreed: set[str] = set()  # runs whose terms this process has looked at
_lock = threading.Lock()


def serve(pickled: bytes, me: str, wanted: Callable[[], bool] | None = None) -> bytes:
    """Do a task's jobs and return the answer, both pickled: no library looks into them.

    Args:
        pickled: the task.
        me: the name of this worker.
        wanted: tells whether anybody still waits for the answer, if that can be known.
    """
    task: Task = pickle.loads(pickled)  # noqa: S301 - from the run that the cluster's user started
    if task.terms.run not in _agreed:
        if refused := unmet(task.terms):
            return pickle.dumps(Answer(refused=f"worker {me} {refused}"))
        _agreed.add(task.terms.run)
    served = _process_of_this_thread(task.terms)
    with served.busy:
        served.watched.wanted = wanted
        try:
            return pickle.dumps(_done(task, served.watched))
        except Unwanted:
            return pickle.dumps(Answer())
        finally:
            served.watched.wanted = None
            served.idle_since = time.monotonic()


def _done(task: Task, watched: Watched) -> Answer:
    if task.fresh:
        watched.end()
    outcomes: list[tuple[int, Done[Any] | Died | Raised]] = []
    taken: list[float] = []
    started = time.monotonic()
    for index, job in task.jobs:
        if outcomes and time.monotonic() - started > task.seconds:
            break
        if watched.wanted is not None and not watched.wanted():
            raise Unwanted
        running, begun = watched.running, time.monotonic()
        outcomes.append((index, _outcome(watched, task.work, job)))
        if running:
            taken.append(time.monotonic() - begun)
    return Answer(tuple(outcomes), sum(taken) / len(taken) if taken else 0.0)


def _outcome(watched: Watched, work: Callable[[Any], Any], job: Any) -> Done[Any] | Died | Raised:
    try:
        return watched.ask(work, job)
    except Unwanted:
        raise
    except Exception as error:  # noqa: BLE001 - raised again where the run is
        return Raised(error)


def agrees(pickled: bytes) -> str:
    """Return why this process can do none of a run's jobs; empty where it can."""
    return unmet(pickle.loads(pickled))  # noqa: S301 - as above


def _process_of_this_thread(terms: Terms) -> _Served[Any, Any]:
    thread = threading.get_ident()
    with _lock:
        served = _served.get(thread)
        if served is not None and served.run == terms.run:
            return served
        if served is not None:
            served.watched.end()
        if not _served:
            threading.Thread(target=_end_the_idle, daemon=True).start()
        _served[thread] = _Served(Watched(terms.film_timeout_s, started_in=terms.started_in), terms.run)
        return _served[thread]


def _end_the_idle() -> None:
    """End processes that have been idle for long, until there are none."""
    while True:
        time.sleep(IDLE_S / 10)
        _end_those(lambda served: time.monotonic() - served.idle_since > IDLE_S)
        with _lock:
            if not _served:
                return


def end_run(run: str) -> None:
    """End the processes of a run; one at work is ended by its thread, once nobody wants its answer."""
    _end_those(lambda served: served.run == run)


def _end_those(meant: Callable[[_Served[Any, Any]], bool]) -> None:
    with _lock:
        for thread, served in [*_served.items()]:
            if meant(served) and served.busy.acquire(blocking=False):
                del _served[thread]
                served.watched.end()
                served.busy.release()
