"""A Ray cluster: one that others started, or one that lives as long as this run.

joblib's own backend for it is not used. In Ray 2.60 it gives no result before all are there (it refuses generators),
holds every job until the end (`Pool._registry`), and does not survive its workers: an actor that died stays dead, and
every job that it would have got fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.backends import serving
from pipeline.backends.cluster import drop_by
from stages.contract import CxrError, ParamsError

STORE_BYTES = 100 * 2**20  # what jobs and rows lie in on their way; the least that Ray takes is 75 MiB
TRIES = 4  # how often Ray itself does a task whose worker dies
CONNECT_S = 5.0
REFUSAL_S = 60.0  # for a worker to start and look
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def serve_on_ray(task: bytes) -> bytes:
    """Do a task in a worker process of Ray's; Ray ends it with the run, and its own process ends with it."""
    return serving.serve(task, _me())


def agrees_on_ray(terms: bytes) -> str:
    """Return why this worker can do none of a run's jobs; empty where it can."""
    return serving.agrees(terms)


def _me() -> str:
    import ray  # noqa: PLC0415 - an extra

    address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return f"{address} (Ray node {ray.get_runtime_context().get_node_id()[:8]})"


class RayCluster:
    """A Ray cluster, while this process is a driver of it."""

    def __init__(self, address: str, workers: int) -> None:
        """Connect to a cluster; without an address, start one here with so many workers.

        Raises:
            ParamsError: where the extra is missing.
            CxrError: where no cluster answers, or it has another version of Ray or Python.
        """
        for name, told in QUIET.items():
            os.environ.setdefault(name, told)  # read when Ray is loaded
        try:
            import ray  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ParamsError("--backend ray needs the extra: pip install 'cxr-pipeline[ray]'") from error
        self._ray: Any = ray
        self.local = not address
        self.name = f"the Ray cluster {address}" if address else "the Ray cluster of this run"
        self._tasks: dict[Future[bytes], Any] = {}
        self._session = ""
        with _own_signals(), _silence():
            if self.local:
                self._start(workers)
            else:
                self._connect(address)
        self._listens = "" if address.startswith("ray://") else str(ray.get_runtime_context().gcs_address)
        remote = ray.remote(num_cpus=1, max_retries=TRIES - 1)
        self._serve = remote(serve_on_ray)

    def _start(self, workers: int) -> None:
        self._ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="CRITICAL",
            object_store_memory=STORE_BYTES,
            _node_ip_address="127.0.0.1",
        )
        self._session = str(self._ray._private.worker.global_worker.node.get_session_dir_path())  # noqa: SLF001

    def _connect(self, address: str) -> None:
        try:
            _knock(address.removeprefix("ray://"))
            self._ray.init(address=address, log_to_driver=False, logging_level="CRITICAL")
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            if "ersion mismatch" in str(error):
                raise CxrError(f"--address {address}: {' '.join(str(error).split())}") from error
            raise CxrError(
                f"--address {address}: no Ray cluster answers there ({_first_sentence(error)}); start one, or leave it "
                "out"
            ) from error

    def slots(self) -> int:
        """Return the number of its CPUs: a task takes one."""
        try:
            return int(self._ray.cluster_resources().get("CPU", 0))
        except (ConnectionError, self._ray.exceptions.RayError):
            return 0  # `look` says more

    def submit(self, task: bytes) -> Future[bytes]:
        """Have a task done."""
        try:
            theirs = self._serve.remote(task)
            ours: Future[bytes] = theirs.future()
        except ConnectionError as error:
            raise self._gone() from error
        self._tasks[ours] = theirs
        return ours

    def lost(self, error: BaseException) -> bool:
        """Tell whether a task failed with its worker."""
        self.look()
        of_ray = self._ray.exceptions
        if isinstance(error, (of_ray.WorkerCrashedError, of_ray.NodeDiedError, of_ray.OutOfMemoryError)):
            return True
        if isinstance(error, (of_ray.ObjectLostError, of_ray.LocalRayletDiedError)):
            return True
        if isinstance(error, ConnectionError):
            raise self._gone() from error
        if isinstance(error, ImportError) or "failed to import" in str(error) or "No module named" in str(error):
            raise CxrError(
                f"a worker of {self.name} cannot load this program; install cxr-pipeline there, the same version"
            ) from error
        return False

    def look(self) -> None:
        """Look whether the cluster is still there; Ray's own way to tell is to end this process after a minute."""
        if not self._listens:
            if not self._ray.util.client.ray.is_connected():
                raise self._gone()
            return
        try:
            _knock(self._listens)
        except OSError as error:
            raise self._gone() from error
        me = self._ray.get_runtime_context().get_node_id()
        if not any(node["NodeID"] == me and node["Alive"] for node in self._ray.nodes()):
            raise self._gone()

    def _gone(self) -> CxrError:
        return CxrError(f"{self.name} is gone; start it again and run the same command again: finished shards are kept")

    def refusals(self, terms: bytes) -> Iterator[tuple[str, str]]:
        """Yield each node whose workers do not agree with a run's terms, and why."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415 - an extra

        asked = {}
        for node in self._ray.nodes():
            if node["Alive"] and node["Resources"].get("CPU"):
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                asks = self._ray.remote(num_cpus=0, scheduling_strategy=there)(agrees_on_ray)
                asked[f"{node['NodeManagerAddress']} (Ray node {node['NodeID'][:8]})"] = asks.remote(terms)
        for worker, answer in asked.items():
            try:
                told = self._ray.get(answer, timeout=REFUSAL_S)
            except self._ray.exceptions.RayError as error:
                yield (
                    worker,
                    f"cannot load this program ({_first_sentence(error)}); install the same cxr-pipeline there",
                )
            else:
                if told:
                    yield worker, told

    def drop(self, tasks: Collection[Future[bytes]]) -> None:
        """Forget tasks."""
        drop_by(self._cancel, self._tasks, tasks)

    def _cancel(self, theirs: Any) -> None:
        with suppress(Exception):  # it may be done, or the cluster gone
            if not self._ray.wait([theirs], timeout=0)[0]:
                self._ray.cancel(theirs, force=True)

    def close(self, run: str) -> None:
        """End the run's workers, and the cluster where it is this run's own."""
        with suppress(Exception), _own_signals(), _silence():
            self._ray.shutdown()
        if self._session:
            shutil.rmtree(Path(self._session), ignore_errors=True)


def _knock(address: str) -> None:
    """Connect to an address, and let go again: Ray itself waits for minutes where nobody listens.

    Raises:
        OSError: where nobody does.
        ValueError: where it is no address.
    """
    if address == "auto":  # Ray looks for a cluster of this machine, and soon says that there is none
        return
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep hearing signals as before: Ray would end the process in its own way."""
    try:
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        yield
    finally:
        with suppress(ValueError):  # not the main thread: Ray has changed nothing either
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep off the terminal what Ray's own library says there while it starts; its errors are raised."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _first_sentence(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
