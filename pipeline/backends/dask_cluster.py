"""A Dask cluster: one that listens at a scheduler's address, or threads of this process that watch processes.

joblib's own backend for it is not used. In joblib 1.6 a task that fails with its worker (`KilledWorker`) is never
told to the caller, who waits for ever (`DaskDistributedBackend._collect` sets the future and not the callback);
arguments of more than a kilobyte lie on one worker and are gone with it (`scatter`); and jobs that are no longer
wanted run on (`abort_everything`).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

from pipeline.backends import serving
from pipeline.backends.cluster import drop_by
from stages.contract import CxrError, ParamsError

CONNECT_S = 10.0
WORKERS_S = 30.0  # how long to wait for the first worker


def serve_on_dask(task: bytes) -> bytes:
    """Do a task in a thread of a Dask worker."""
    from distributed import get_worker  # noqa: PLC0415 - an extra

    worker = get_worker()
    return serving.serve(task, worker.address, partial(_wanted, worker, worker.get_current_task()))


def _wanted(worker: Any, key: Any) -> bool:
    """Tell whether a task that a worker is at is still asked for: Dask marks it and lets it run to its end."""
    task = worker.state.tasks.get(key)
    return task is not None and task.state != "cancelled"


class DaskCluster:
    """A Dask cluster, while this process is its client."""

    def __init__(self, scheduler: str, workers: int) -> None:
        """Connect to a scheduler; without an address, start so many workers here.

        Raises:
            ParamsError: where the extra is missing, or the address is none.
            CxrError: where no scheduler answers, or it has no worker.
        """
        try:
            import distributed  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ParamsError("--backend dask needs the extra: pip install 'cxr-pipeline[dask]'") from error
        _hush()
        self.local = not scheduler
        self.name = f"the Dask scheduler {scheduler}" if scheduler else "the Dask cluster of this process"
        self._of_lost = (distributed.KilledWorker, distributed.client.FutureCancelledError)
        self._cluster: Any = None
        self._tasks: dict[Future[bytes], Any] = {}
        if self.local:
            here = {"processes": False, "n_workers": 1, "threads_per_worker": workers, "dashboard_address": None}
            self._cluster = distributed.LocalCluster(**here, memory_limit=0)  # type: ignore[no-untyped-call]
        try:
            self._client: Any = distributed.Client(  # type: ignore[no-untyped-call]
                self._cluster or scheduler, timeout=CONNECT_S, set_as_default=False
            )
        except OSError as error:
            raise CxrError(
                f"--scheduler {scheduler}: no Dask scheduler answers there; start one, or leave it out"
            ) from error
        except ValueError as error:
            raise ParamsError(f"--scheduler {scheduler}: no address ({error}); expected tcp://host:port") from error
        self._wait_for_workers()

    def _wait_for_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError as error:
            self._client.close()
            raise CxrError(
                f"{self.name} has no worker after {WORKERS_S:g} s; start some: dask worker ADDRESS, on each machine"
            ) from error

    def slots(self) -> int:
        """Return the number of its workers' threads."""
        try:
            return sum(self._client.nthreads().values())
        except OSError:
            return 0  # `look` says more

    def submit(self, task: bytes) -> Future[bytes]:
        """Have a task done."""
        self.look()
        theirs = self._client.submit(serve_on_dask, task, key=f"cxr-pipeline-{uuid4().hex}", pure=False)
        ours: Future[bytes] = Future()
        self._tasks[ours] = theirs
        theirs.add_done_callback(partial(_hand_over, ours))
        return ours

    def lost(self, error: BaseException) -> bool:
        """Tell whether a task failed with its worker."""
        self.look()
        if isinstance(error, self._of_lost):
            return True
        if isinstance(error, ImportError) or "deserializ" in str(error):
            raise CxrError(
                f"{self.name}, or a worker of it, cannot load this program ({error}); install cxr-pipeline there, the "
                "same version"
            ) from error
        return False

    def look(self) -> None:
        """Look whether the scheduler is still there."""
        if self._client.status != "running":
            raise CxrError(
                f"{self.name} is gone; start it again and run the same command again: finished shards are kept"
            )

    def refusals(self, terms: bytes) -> Iterator[tuple[str, str]]:
        """Yield each worker that does not agree with a run's terms, and why."""
        for worker, told in self._client.run(serving.agrees, terms, on_error="return").items():
            if isinstance(told, BaseException):
                yield worker, f"cannot load this program ({told}); install cxr-pipeline there, the same version"
            elif told:
                yield worker, told

    def drop(self, tasks: Collection[Future[bytes]]) -> None:
        """Forget tasks."""
        drop_by(_release, self._tasks, tasks)

    def close(self, run: str) -> None:
        """End the run's processes, which wait for more, and the cluster where it is this process's own."""
        with suppress(Exception):
            if self._client.status == "running":
                self._client.run(serving.end_run, run)
        with suppress(Exception):
            self._client.close(timeout=2)
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close(timeout=2)


def _hand_over(ours: Future[bytes], theirs: Any) -> None:
    """Let a future of Dask's end ours."""
    try:
        result = theirs.result()
    except BaseException as error:  # noqa: BLE001 - a cancelled one raises what is no Exception
        ours.set_exception(error)
    else:
        ours.set_result(result)


def _release(theirs: Any) -> None:
    with suppress(Exception):  # its client may be closed
        theirs.release()


def _hush() -> None:
    """Keep Dask's log off the terminal: what matters of it is said in one line."""
    for name in ("distributed", *(name for name in logging.root.manager.loggerDict if name.startswith("distributed."))):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", message="Sending large graph", module="distributed")
    warnings.filterwarnings("ignore", message="(?s).*Mismatched versions found")  # ours are compared, worker by worker
