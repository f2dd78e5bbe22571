"""The only module that knows joblib and its backends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from stages.contract import CxrError, ParamsError, Track, one

Job = TypeVar("Job")
Result = TypeVar("Result")
Backend = Literal["loky", "threading", "sequential", "dask", "ray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Applies work to jobs on a backend of joblib; results come in the order of the jobs.

    Attributes:
        backend: `loky` (processes of this machine), `threading`, `sequential`, or a cluster's: `dask`, `ray`.
        jobs: workers; 0 for as many as there are cores.
        track: shows the progress.
        scheduler: where the Dask scheduler listens; empty starts workers on this machine.
        address: where the Ray cluster listens; empty starts one on this machine.
    """

    backend: Backend
    jobs: int
    track: Track
    scheduler: str = ""
    address: str = ""

    def __call__(
        self,
        work: Callable[[Job], Result],
        jobs: Iterable[Job],
        *,
        unit: str = "files",
        weigh: Callable[[Job], int] = one,
    ) -> list[Result]:
        """Return what `work` makes of each job.

        Raises:
            CxrError: where a worker died.
        """
        listed = list(jobs)
        weights = [weigh(job) for job in listed]
        results: dict[int, Result] = {}
        with self.track(sum(weights), unit=unit) as advance:
            for index, result in self._run(work, listed):
                results[index] = result
                advance(weights[index])
        return [results[index] for index in range(len(listed))]

    def _run(self, work: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[tuple[int, Result]]:
        alone = len(jobs) < 2 and self.backend in ("loky", "threading")  # one job gains nothing from a second process
        if self.backend == "sequential" or alone:
            yield from (_numbered(work, index, job) for index, job in enumerate(jobs))
            return
        try:
            with self._backend():
                yield from self._parallel(work, jobs)
        except TerminatedWorkerError as error:
            raise CxrError(
                "a worker process died: a crash in a codec, or the kernel killed it for memory; "
                "run again, with fewer --jobs if memory is short; finished shards are kept"
            ) from error

    def _parallel(self, work: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[tuple[int, Result]]:
        calls = (joblib.delayed(_numbered)(work, index, job) for index, job in enumerate(jobs))
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
            with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
                yield
        else:
            with joblib.parallel_config(backend=self.backend):
                yield


def _numbered(work: Callable[[Job], Result], index: int, job: Job) -> tuple[int, Result]:
    _use_one_thread()
    return index, work(job)


def _use_one_thread() -> None:
    """Let OpenCV use one thread: the workers fill the cores already. Nothing happens where it is not loaded."""
    opencv: Any = sys.modules.get("cv2")
    if opencv is not None and opencv.getNumThreads() > 1:
        opencv.setNumThreads(1)


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
