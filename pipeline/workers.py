"""The only module that knows joblib and its backends."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from operator import length_hint
from typing import Any, Generic, Literal, TypeVar

import joblib
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pipeline.careful import Careful
from pipeline.watched import arm, disarm, prepare, undisturbed
from stages.contract import CxrError, ParamsError, Retry, Track, heard, one

Job = TypeVar("Job")
Result = TypeVar("Result")
Backend = Literal["loky", "threading", "sequential", "dask", "ray"]
FILM_TIMEOUT_S = 60.0


class HandedOut(Generic[Job]):
    """Jobs with their numbers, each made when it is handed out and held until its result is there.

    A pool that dies may take some more while another one goes on: no job is given out twice or forgotten.

    Attributes:
        jobs: all of them.
        under_way: those that were handed out and have no result yet, by number.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        """Hand out nothing yet."""
        self.jobs = jobs
        self.under_way: dict[int, Job] = {}
        self._left = iter(range(len(jobs)))

    @property
    def any_left(self) -> bool:
        """Whether some were not handed out yet."""
        return length_hint(self._left) > 0

    def __iter__(self) -> Iterator[tuple[int, Job]]:
        """Hand out those that are left; whoever comes later goes on from there."""
        for index in self._left:
            job = self.jobs[index]
            self.under_way[index] = job
            yield index, job


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Applies work to jobs on a backend of joblib; results come in the order of the jobs.

    Attributes:
        backend: `loky` (processes of this machine), `threading`, `sequential`, or a cluster's: `dask`, `ray`.
        jobs: workers; 0 for as many as there are cores.
        track: shows the progress.
        scheduler: where the Dask scheduler listens; empty starts workers on this machine.
        address: where the Ray cluster listens; empty starts one on this machine.
        film_timeout_s: how long one film may take before its process is ended (loky alone); 0 for ever.
    """

    backend: Backend
    jobs: int
    track: Track
    scheduler: str = ""
    address: str = ""
    film_timeout_s: float = FILM_TIMEOUT_S

    def __call__(
        self,
        work: Callable[[Job], Result],
        jobs: Sequence[Job],
        *,
        unit: str = "files",
        weigh: Callable[[Job], int] = one,
        total: int | None = None,
        retry: Retry[Job] | None = None,
        within: Callable[..., None] | None = None,
    ) -> Iterator[Result]:
        """Yield what `work` makes of each job, in their order; what comes before its turn waits.

        Raises:
            CxrError: where a worker died and no film can be blamed for it.
        """
        handed = HandedOut(jobs)
        early: dict[int, Result] = {}
        turn = 0
        if within is not None:
            bar: AbstractContextManager[Callable[..., None]] = nullcontext(within)
        else:
            bar = self.track(sum(map(weigh, jobs)) if total is None else total, unit=unit)
        with bar as advance:
            for index, result in self._run(work, handed, retry):
                early[index] = result
                advance(weigh(handed.under_way.pop(index)))
                while turn in early:
                    yield early.pop(turn)
                    turn += 1

    def _run(
        self, work: Callable[[Job], Result], handed: HandedOut[Job], retry: Retry[Job] | None
    ) -> Iterator[tuple[int, Result]]:
        if self.backend == "loky":
            yield from self._processes(work, handed, retry)
        elif self.backend == "sequential" or (self.backend == "threading" and len(handed.jobs) < 2):
            yield from (_numbered(work, index, job) for index, job in handed)
        else:
            with self._backend():
                yield from self._parallel(joblib.delayed(_numbered)(work, *item) for item in handed)

    def _processes(
        self, work: Callable[[Job], Result], handed: HandedOut[Job], retry: Retry[Job] | None
    ) -> Iterator[tuple[int, Result]]:
        """Yield the results of worker processes; jobs that may have been under way when one died are done carefully.

        One worker is a process as well: a film that ends it must not end the run, on 1 worker as on 8.
        """
        one_by_one: Callable[[Job], Result] = partial(_on_one_thread, work)
        careful = Careful(one_by_one, retry, handed.jobs, self.film_timeout_s)
        while handed.any_left and self._workers() > 1:
            try:
                yield from self._pool(work, handed)
            except TerminatedWorkerError:
                yield from careful([*handed.under_way.items()])
        yield from careful([*handed.under_way.items()])  # what a pool took while it died
        yield from careful(handed)

    def _pool(self, work: Callable[[Job], Result], handed: HandedOut[Job]) -> Iterator[tuple[int, Result]]:
        """Yield each job's number and result."""
        calls = (joblib.delayed(_watched)(work, index, job, self.film_timeout_s) for index, job in handed)
        with self._backend():
            resource_tracker.ensure_running()  # its start would let the keyboard go again
            parallel = joblib.Parallel(n_jobs=self._workers(), return_as="generator_unordered")
            results: Iterator[tuple[int, Result]] = iter(())
            try:
                with undisturbed():
                    results = parallel(calls)
                for result in results:  # noqa: UP028 - `yield from` would close it, with joblib's words on that
                    yield result
            finally:
                end(results)

    def _parallel(self, calls: Iterable[Any]) -> Iterator[Any]:
        if self.backend == "ray":  # Ray's backend rejects generators: hand it slices, so that the bar moves
            for slice_of_calls in _slices(calls, 16 * self._workers()):
                yield from joblib.Parallel(n_jobs=self._workers())(slice_of_calls)
        else:
            yield from joblib.Parallel(n_jobs=self._workers(), return_as="generator_unordered")(calls)

    def _workers(self) -> int:
        return self.jobs or joblib.cpu_count()

    @contextmanager
    def _backend(self) -> Iterator[None]:
        if self.backend == "dask":
            with _dask(self.scheduler, self._workers()), joblib.parallel_config(backend="dask"):
                yield
        elif self.backend == "ray":
            _start_ray(self.address, self._workers())
            with joblib.parallel_config(backend="ray"):
                yield
        elif self.backend == "loky":  # only loky takes a limit of inner threads
            worker = {"inner_max_num_threads": 1, "initializer": prepare, "initargs": (os.getpid(),)}
            with joblib.parallel_config(backend="loky", **worker):
                yield
        else:
            with joblib.parallel_config(backend=self.backend):
                yield


def dismiss() -> None:
    """End the worker processes that wait for more: nothing is left to do, and their goodbyes take a quarter second."""
    loky = sys.modules.get("joblib.externals.loky.reusable_executor")
    executor: Any = getattr(loky, "_executor", None)
    if executor is not None:
        executor.shutdown(kill_workers=True)


def _numbered(work: Callable[[Job], Result], index: int, job: Job) -> tuple[int, Result]:
    return index, _on_one_thread(work, job)


def _on_one_thread(work: Callable[[Job], Result], job: Job) -> Result:
    _use_one_thread()
    return work(job)


def _watched(work: Callable[[Job], Result], index: int, job: Job, film_timeout_s: float) -> tuple[int, Result]:
    """Do a job in a worker process that ends itself where a film takes too long."""

    def film_begins(_film: str) -> None:
        arm(film_timeout_s)

    with heard(film_begins):
        try:
            return _numbered(work, index, job)
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


def _slices(calls: Iterable[Any], size: int) -> Iterator[list[Any]]:
    pending: list[Any] = []
    for call in calls:
        pending.append(call)
        if len(pending) == size:
            yield pending
            pending = []
    if pending:
        yield pending


@contextmanager
def _dask(scheduler: str, workers: int) -> Iterator[None]:
    try:
        from distributed import Client  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ParamsError("--backend dask needs the extra: pip install 'cxr-pipeline[dask]'") from error
    local = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    try:
        client = Client(scheduler, timeout=10) if scheduler else Client(**local)
    except OSError as error:
        raise CxrError(
            f"--scheduler {scheduler}: no Dask scheduler answers ({error}); start one, or leave it out"
        ) from error
    with client:
        yield


def _start_ray(address: str, workers: int) -> None:
    try:
        import ray  # noqa: PLC0415 - an extra
        from ray.util.joblib import register_ray  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ParamsError("--backend ray needs the extra: pip install 'cxr-pipeline[ray]'") from error
    if not ray.is_initialized():
        try:
            ray.init(address=address or None, num_cpus=None if address else workers, log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise CxrError(
                f"--address {address}: no Ray cluster answers ({error}); start one, or leave it out"
            ) from error
    register_ray()
