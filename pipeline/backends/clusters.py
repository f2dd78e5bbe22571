"""Jobs on a cluster, by joblib's own Dask and Ray backends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import joblib

from pipeline.backends.handed import HandedOut
from pipeline.backends.local import Numbered, numbered, workers
from stages.contract import CxrError, ParamsError

Job = TypeVar("Job")
Result = TypeVar("Result")


def on_dask(work: Callable[[Job], Result], handed: HandedOut[Job], *, jobs: int, scheduler: str) -> Numbered[Result]:
    """Yield each job's number and result from a Dask cluster."""
    with _dask(scheduler, workers(jobs)), joblib.parallel_config(backend="dask"):
        parallel = joblib.Parallel(n_jobs=workers(jobs), return_as="generator_unordered")
        yield from parallel(joblib.delayed(numbered)(work, *item) for item in handed)


def on_ray(work: Callable[[Job], Result], handed: HandedOut[Job], *, jobs: int, address: str) -> Numbered[Result]:
    """Yield each job's number and result from a Ray cluster."""
    _start_ray(address, workers(jobs))
    calls = (joblib.delayed(numbered)(work, *item) for item in handed)
    with joblib.parallel_config(backend="ray"):
        for slice_of_calls in _slices(calls, 16 * workers(jobs)):  # it rejects generators: so that the bar moves
            yield from joblib.Parallel(n_jobs=workers(jobs))(slice_of_calls)


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
        client: Any = Client(scheduler, timeout=10) if scheduler else Client(**local)  # type: ignore[no-untyped-call]
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
    register_ray()  # type: ignore[no-untyped-call]
