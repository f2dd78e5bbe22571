"""Applies work to jobs on the backend of the user's choice; the only way that stages get at workers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipeline.backends import FILM_TIMEOUT_S, Backend, local
from pipeline.backends.handed import HandedOut
from stages.contract import Retry, Track, one

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Applies work to jobs; results come in the order of the jobs.

    Attributes:
        backend: `loky` (processes of this machine), `threading`, `sequential`, or a cluster's: `dask`, `ray`.
        jobs: workers; 0 for as many as there are cores. On a cluster that others started, tasks at a time; 0 for as
            many as it can do.
        track: shows the progress.
        scheduler: where the Dask scheduler listens; empty starts workers on this machine.
        address: where the Ray cluster listens; empty starts one on this machine.
        folders: that the run uses, the root first: a cluster's workers must see them.
        film_timeout_s: how long one film may take before its process is ended; 0 for ever. Threads know no limit.
    """

    backend: Backend
    jobs: int
    track: Track
    scheduler: str = ""
    address: str = ""
    folders: tuple[Path, ...] = ()
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
            return local.in_processes(work, handed, retry, jobs=self.jobs, film_timeout_s=self.film_timeout_s)
        if self.backend == "threading":
            return local.in_threads(work, handed, jobs=self.jobs)
        if self.backend == "sequential":
            return local.sequentially(work, handed)
        from pipeline.backends import clusters  # noqa: PLC0415 - most runs need none

        wanted = clusters.Wanted(
            backend=self.backend,
            address=self.scheduler if self.backend == "dask" else self.address,
            jobs=self.jobs,
            folders=self.folders,
            film_timeout_s=self.film_timeout_s,
        )
        return clusters.on_cluster(wanted, work, handed, retry)


def dismiss() -> None:
    """End the workers that wait for more: nothing is left to do."""
    local.dismiss()
    let_go()


def let_go() -> None:
    """Let go of the cluster that the run worked on, if any: what the run has started there ends."""
    clusters = sys.modules.get("pipeline.backends.clusters")
    if clusters is not None:
        clusters.dismiss()
