"""Jobs on a cluster: so many under way and no more, done again where a worker was lost, films to blame by name."""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from pipeline.backends.handed import HandedOut
from pipeline.backends.serving import Answer, Raised, Task
from pipeline.backends.terms import Terms
from pipeline.backends.threads import on_one_thread
from pipeline.careful import Careful
from pipeline.watched import Died, Done
from stages.contract import CxrError, Retry

Job = TypeVar("Job")
Result = TypeVar("Result")

TASK_S = 0.5  # what a task should take: long against its way to a worker and back, short against a progress bar
SLOTS_PER_S = 100  # tasks that the parent can hand out: with more workers, each takes more at a time
JOBS_PER_TASK = 256
LOSSES = 3  # how often a job may be lost with its worker, after the library itself has tried it four times
LOOK_S = 1.0  # how often the cluster is looked at while no answer comes
PATIENCE_S = 60.0  # how long a cluster may be without any worker: a nanny takes seconds to start another


class Cluster(Protocol):
    """Somebody else's processes. Only a task's bytes go there, and only an answer's come back."""

    @property
    def name(self) -> str:
        """What it is called in a sentence."""

    @property
    def local(self) -> bool:
        """Whether it was started by this process, with as many workers as were asked for."""

    def slots(self) -> int:
        """Return how many tasks it can do at a time now; 0 where it has no workers."""

    def submit(self, task: bytes) -> Future[bytes]:
        """Have a task done."""

    def lost(self, error: BaseException) -> bool:
        """Tell whether a task failed with its worker, and so may be done again.

        Raises:
            CxrError: where there is no cluster any more, or it cannot run the task at all.
        """

    def look(self) -> None:
        """Look whether the cluster is still there.

        Raises:
            CxrError: where it is not.
        """

    def refusals(self, terms: bytes) -> Iterator[tuple[str, str]]:
        """Yield each worker that does not agree with a run's terms, and why."""

    def drop(self, tasks: Collection[Future[bytes]]) -> None:
        """Forget tasks: those that wait are not begun, those at work are ended."""

    def close(self, run: str) -> None:
        """End what this run has started on the cluster, and let go of it."""


@dataclass(slots=True)
class Pace:
    """How many jobs a task should hold, by what they took so far."""

    job_s: float = 0.0
    jobs: int = 1

    def add(self, job_s: float) -> None:
        """Take up what a job took in an answer; 0 where that is not known."""
        if job_s > 0:
            self.job_s = job_s if not self.job_s else 0.7 * self.job_s + 0.3 * job_s

    def task_s(self, slots: int) -> float:
        """Return how long a task should take."""
        return max(TASK_S, slots / SLOTS_PER_S)

    def next_size(self, left: int, slots: int) -> int:
        """Return how many jobs the next task holds: twice as many as the last at most, few towards the end."""
        if self.job_s:
            wanted = int(self.task_s(slots) / self.job_s)
            self.jobs = max(1, min(wanted, 2 * self.jobs, JOBS_PER_TASK))
        return max(1, min(self.jobs, left // (2 * max(1, slots))))


@dataclass(slots=True)
class _Remote:
    """A process on the cluster, as `Careful` asks it: one job at a time, how it ended is told."""

    cluster: Cluster
    terms: Terms
    fresh: bool = True
    over: bool = False

    def ask(self, work: Callable[[Job], Result], job: Job) -> Done[Result] | Died:
        """Return what comes of a job, or how the process ended."""
        task = Task(self.terms, work, ((0, job),), 0.0, fresh=self.fresh)
        self.fresh = False
        for _ in range(LOSSES):
            answer = self._answer(_pickled(task))
            if answer is not None and answer.outcomes:
                ((_, outcome),) = answer.outcomes
                if isinstance(outcome, Raised):
                    raise outcome.error
                return outcome
        raise _lost_again(self.cluster)

    def _answer(self, task: bytes) -> Answer | None:
        future = self.cluster.submit(task)
        try:
            while not wait([future], timeout=LOOK_S).done:
                if self.over:
                    raise CxrError("the run is over")
            return _answer_of(future, self.cluster)
        finally:
            self.cluster.drop([future])

    def end(self) -> None:
        """Have the next job done in a process that has done nothing before."""
        self.fresh = True


@dataclass(slots=True)
class OnCluster(Generic[Job, Result]):
    """Does jobs on a cluster.

    Attributes:
        cluster: does them.
        terms: what its workers must agree with.
        work: what is done to a job.
        handed: the jobs.
        retry: how a job goes on without a film; None where that cannot be.
        jobs: tasks under way at most; 0 for as many as there are workers, and as many that wait for these.
    """

    cluster: Cluster
    terms: Terms
    work: Callable[[Job], Result]
    handed: HandedOut[Job]
    retry: Retry[Job] | None
    jobs: int
    _pace: Pace = field(default_factory=Pace, init=False)
    _flying: dict[Future[bytes], list[tuple[int, Job]]] = field(default_factory=dict, init=False)
    _blamed: dict[Future[Result], int] = field(default_factory=dict, init=False)
    _back: deque[tuple[int, Job]] = field(default_factory=deque, init=False)
    _losses: dict[int, int] = field(default_factory=dict, init=False)
    _slots: int = field(default=0, init=False)
    _looked: float = field(default=-PATIENCE_S, init=False)
    _with_workers: float = field(default_factory=time.monotonic, init=False)

    def __call__(self) -> Iterator[tuple[int, Result]]:
        """Yield each job's number and result, as they come.

        Raises:
            CxrError: where the cluster is gone, a worker refuses, or a job is lost with its worker again and again.
        """
        remote = _Remote(self.cluster, self.terms)
        careful = Careful(partial(on_one_thread, self.work), self.retry, self.handed.jobs, remote)
        one_by_one = ThreadPoolExecutor(1)  # beside the others: a film that hangs is waited for twice
        try:
            while self._launch() or self._blamed:
                done = self._wait()
                for future in done:
                    if future in self._blamed:
                        yield self._blamed.pop(future), future.result()
                    else:
                        for index, job, outcome in self._landed(future):
                            if isinstance(outcome, Died):
                                self._blamed[one_by_one.submit(careful.result, job)] = index
                            else:
                                yield index, outcome.result
                if not done:
                    self.cluster.look()
        finally:
            remote.over = True
            self.cluster.drop(self._flying)
            one_by_one.shutdown(wait=False, cancel_futures=True)

    def _wait(self) -> set[Future[Any]]:
        """Return what ends next; nothing where nothing does for a while."""
        under_way: list[Future[Any]] = [*self._flying, *self._blamed]
        if not under_way:  # no worker, so nothing is handed out: `wait` would not wait for nothing
            time.sleep(LOOK_S)
            return set()
        return wait(under_way, timeout=LOOK_S, return_when=FIRST_COMPLETED).done

    def _launch(self) -> bool:
        """Have as many tasks under way as there may be; return whether there are any."""
        self._count_workers()
        limit = self.jobs if self.jobs and not self.cluster.local else 2 * self._slots
        while len(self._flying) < limit and (jobs := self._next_jobs()):
            task = Task(self.terms, partial(on_one_thread, self.work), tuple(jobs), self._pace.task_s(self._slots))
            self._flying[self.cluster.submit(_pickled(task))] = jobs
        return bool(self._flying or self._back or self.handed.any_left)

    def _next_jobs(self) -> list[tuple[int, Job]]:
        """Return the jobs of the next task; one that was lost with its worker is a task of its own."""
        if self._back and self._back[0][0] in self._losses:
            return [self._back.popleft()]
        jobs: list[tuple[int, Job]] = []
        size = self._pace.next_size(len(self._back) + self.handed.left, self._slots)
        while len(jobs) < size and self._back and self._back[0][0] not in self._losses:
            jobs.append(self._back.popleft())
        if len(jobs) < size and self.handed.any_left:
            jobs += [item for _, item in zip(range(size - len(jobs)), self.handed, strict=False)]
        return jobs

    def _count_workers(self) -> None:
        """Count the workers, now and then: they come and go.

        Raises:
            CxrError: where there has been none for long.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._slots = self.cluster.slots()
        self._looked = now
        if self._slots:
            self._with_workers = now
        elif now - self._with_workers > PATIENCE_S:
            raise CxrError(
                f"{self.cluster.name} has had no worker for {PATIENCE_S:g} s; start some and run the same command "
                "again: finished shards are kept"
            )

    def _landed(self, future: Future[bytes]) -> Iterator[tuple[int, Job, Done[Result] | Died]]:
        """Yield what came of a task's jobs; those that it did not come to are done later."""
        jobs = self._flying.pop(future)
        answer = _answer_of(future, self.cluster)
        self.cluster.drop([future])  # with what the cluster keeps of it
        if answer is None:
            self._note_loss(jobs)
            answer = Answer()
        self._pace.add(answer.seconds)
        outcomes = dict(answer.outcomes)
        self._back.extend(item for item in jobs if item[0] not in outcomes)
        of_number = dict(jobs)
        for index, outcome in outcomes.items():
            if isinstance(outcome, Raised):
                raise outcome.error
            yield index, of_number[index], outcome

    def _note_loss(self, jobs: Sequence[tuple[int, Job]]) -> None:
        for index, _ in jobs:
            self._losses[index] = self._losses.get(index, 0) + 1
            if self._losses[index] == LOSSES:
                raise _lost_again(self.cluster)


def _pickled(task: Task) -> bytes:
    return pickle.dumps(task, protocol=pickle.HIGHEST_PROTOCOL)


def _answer_of(future: Future[bytes], cluster: Cluster) -> Answer | None:
    """Return the answer of a task; None where it was lost with its worker.

    Raises:
        CxrError: where the worker refuses, or the cluster is gone.
    """
    error = future.exception()
    if error is not None:
        if cluster.lost(error):
            return None
        raise error
    answer: Answer = pickle.loads(future.result())  # noqa: S301 - from the workers that this run was started on
    if answer.refused:
        raise CxrError(answer.refused)
    return answer


def _lost_again(cluster: Cluster) -> CxrError:
    return CxrError(
        f"{cluster.name}: one job's workers were lost {LOSSES} times, with all that the cluster itself tried: memory "
        "may be short there, or somebody ends them; mend that and run the same command again: finished shards are kept"
    )


def drop_by(forget: Callable[[Any], None], known: dict[Future[bytes], Any], tasks: Collection[Future[bytes]]) -> None:
    """Forget some tasks: what the library keeps of one that is done goes with the last mention of it."""
    for task in [*tasks]:
        if (theirs := known.pop(task, None)) is not None and not task.done():
            forget(theirs)
