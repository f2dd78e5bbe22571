"""Jobs one at a time, in a process that is watched: the film that ends it, or hangs, is known by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from pipeline.watched import Died, Done
from stages.contract import CxrError, Failure, Retry

Job = TypeVar("Job")
Result = TypeVar("Result")

BLAMED_IN_A_ROW = 5  # films that end their process, no job done in between: raises the question of the machine
CONTROLS = 3  # jobs of other films that then tell whether it is the machine
ATTEMPTS = 3  # how often a process may die under a job though no film of it does so alone


class Asked(Protocol):
    """A process that does one job after another; a new one is started where there is none."""

    def ask(self, work: Callable[[Job], Result], job: Job) -> Done[Result] | Died:
        """Return what comes of a job, or how the process ended; what the work raised is raised."""

    def end(self) -> object:
        """End the process."""


@dataclass(slots=True)
class Careful(Generic[Job, Result]):
    """Does jobs one at a time; a film that ends its process twice, the second time alone, is left out by name.

    Attributes:
        work: what is done to a job.
        retry: how a job goes on without a film; None where that cannot be.
        jobs: all jobs of the run: some are tried for comparison where film after film ends its process.
        process: what does them, one after the other: a process that tells how it ended.
    """

    work: Callable[[Job], Result]
    retry: Retry[Job] | None
    jobs: Sequence[Job]
    process: Asked
    _blamed: int = field(default=0, init=False)

    def __call__(self, jobs: Iterable[tuple[int, Job]]) -> Iterator[tuple[int, Result]]:
        """Yield each job's number and result.

        Raises:
            CxrError: where a process dies and no film can be blamed, or every film seems to be at fault.
        """
        try:
            for index, job in jobs:
                yield index, self.result(job)
        finally:
            self.process.end()

    def result(self, job: Job) -> Result:
        """Return what comes of a job.

        Raises:
            CxrError: as above.
        """
        failures: dict[str, Failure] = {}
        attempts = 0
        while True:
            answer = self.process.ask(self.work, self.retry.without(job, failures) if self.retry and failures else job)
            if isinstance(answer, Done):
                self._blamed = 0 if answer.any_film else self._blamed
                return answer.result
            confirmed = self._confirmed(job, answer)
            if confirmed is not None and answer.film is not None:
                failures[answer.film] = confirmed
                self._doubt(job, answer)
                continue
            attempts += 1
            if attempts == ATTEMPTS:
                raise _unexplained(answer)

    def _confirmed(self, job: Job, died: Died) -> Failure | None:
        """Return the failure of the film that a process died of, if it does so alone as well."""
        if self.retry is None or died.film is None:
            return None
        alone = self._in_a_fresh_process(self.retry.alone(job, died.film))
        return alone.failure if isinstance(alone, Died) and alone.film == died.film else None

    def _in_a_fresh_process(self, job: Job) -> Done[Result] | Died:
        self.process.end()
        return self.process.ask(self.work, job)

    def _doubt(self, job: Job, died: Died) -> None:
        """Ask whether it is the machine and not the films, once film after film has been blamed.

        Raises:
            CxrError: where films that were not blamed end their process as well.
        """
        self._blamed += 1
        if self._blamed < BLAMED_IN_A_ROW:
            return
        step = max(1, len(self.jobs) // CONTROLS)
        controls = [*self.jobs[::-step][:CONTROLS]]
        if self.retry is not None and died.passed is not None:
            controls.insert(0, self.retry.alone(job, died.passed))
        if not any(isinstance(self._in_a_fresh_process(control), Done) for control in controls):
            raise CxrError(
                f"{self._blamed} films in a row ended the process that worked on them ({died.how}), and so did all "
                f"{len(controls)} jobs that were tried for comparison: this is the machine (its memory, a library, "
                "a disk that does not answer) and not the films, so none was set aside; mend it and run again"
            )
        self._blamed = 0


def _unexplained(died: Died) -> CxrError:
    doing = f"while it worked on {died.film}" if died.film else "before it began a film"
    how = f"took longer than {died.how}" if died.hung else f"died ({died.how})"
    return CxrError(
        f"a worker process {how} {ATTEMPTS} times {doing}, and no film is to blame alone: "
        "memory may be short; run again with fewer --jobs; finished shards are kept"
    )
