"""The cluster that a run works on: connected to once, for as long as the run goes on."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pipeline.backends.cluster import Cluster, OnCluster
from pipeline.backends.handed import HandedOut
from pipeline.backends.local import workers
from pipeline.backends.terms import Terms, terms_of
from stages.contract import CxrError, Retry

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which cluster, and what its workers must see.

    Attributes:
        backend: `dask` or `ray`.
        address: where it listens; empty for the library's variable, and without that for workers of this machine.
        jobs: tasks at a time; 0 for as many as it can do.
        folders: that the run uses, the root first.
        film_timeout_s: how long a film may take; 0 for ever.
    """

    backend: str
    address: str
    jobs: int
    folders: tuple[Path, ...]
    film_timeout_s: float


@dataclass(slots=True)
class _Connections:
    """The cluster that is connected to, if any."""

    wanted: Wanted | None = None
    cluster: Cluster | None = None
    terms: Terms | None = None
    stack: ExitStack = field(default_factory=ExitStack)


_open = _Connections()


def on_cluster(
    wanted: Wanted, work: Callable[[Job], Result], handed: HandedOut[Job], retry: Retry[Job] | None
) -> Iterator[tuple[int, Result]]:
    """Yield each job's number and result, as they come.

    Raises:
        ParamsError: where the extra is missing.
        CxrError: where there is no such cluster, or a worker of it would write other bytes or does not see the root.
    """
    if not handed.jobs:
        return
    cluster, terms = _connected(wanted)
    yield from OnCluster(cluster, terms, work, handed, retry, wanted.jobs)()


def _connected(wanted: Wanted) -> tuple[Cluster, Terms]:
    if _open.wanted == wanted and _open.cluster is not None and _open.terms is not None:
        return _open.cluster, _open.terms
    dismiss()
    stack = ExitStack()
    try:
        terms = stack.enter_context(terms_of(wanted.folders, film_timeout_s=wanted.film_timeout_s))
        cluster = _cluster(wanted)
        stack.callback(cluster.close, terms.run)
        _refuse([*cluster.refusals(pickle.dumps(terms))])
    except BaseException:
        stack.close()
        raise
    _open.wanted, _open.cluster, _open.terms, _open.stack = wanted, cluster, terms, stack
    return cluster, terms


def _cluster(wanted: Wanted) -> Cluster:
    if wanted.backend == "dask":
        from pipeline.backends.dask_cluster import DaskCluster  # noqa: PLC0415 - an extra

        return DaskCluster(wanted.address or os.environ.get("DASK_SCHEDULER_ADDRESS", ""), workers(wanted.jobs))
    from pipeline.backends.ray_cluster import RayCluster  # noqa: PLC0415 - an extra

    return RayCluster(wanted.address or os.environ.get("RAY_ADDRESS", ""), workers(wanted.jobs))


def _refuse(refusals: Sequence[tuple[str, str]]) -> None:
    """Refuse a cluster of which a worker does not agree.

    Raises:
        CxrError: names the first of them.
    """
    if refusals:
        worker, why = refusals[0]
        others = f" (and so do {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        raise CxrError(f"worker {worker} {why}{others}")


def dismiss() -> None:
    """Let go of the cluster: processes that wait for more jobs are ended, workers that others started live on."""
    stack, _open.stack = _open.stack, ExitStack()
    _open.wanted = _open.cluster = _open.terms = None
    stack.close()
