"""How long jobs take where they are done, and what their parent does meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from stages.contract import FanOut
from stages.memory import peak_bytes

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Timed(Generic[Result]):
    """A job's result, and what it took.

    Attributes:
        result: what the work made of the job.
        seconds: of the processor: a busy machine does not lengthen them.
        peak_mb: largest resident memory that its process has had.
        process: its number.
    """

    result: Result
    seconds: float
    peak_mb: float
    process: int


def timed(job: Job, *, work: Callable[[Job], Result]) -> Timed[Result]:
    """Do a job, here, and tell what it took."""
    started = time.process_time()
    result = work(job)
    return Timed(result, time.process_time() - started, peak_mb(), os.getpid())


def peak_mb(process: str = "self") -> float:
    """Return the largest resident memory that a process has had, 10^6 bytes; 0 where the system does not tell."""
    return (peak_bytes(process) or 0) / 1e6


@dataclass(slots=True)
class Call:
    """What one fan-out of a stage took.

    Attributes:
        work_s: processor time of all jobs, added up.
        parent_s: processor time of this process while jobs were under way.
    """

    work_s: float = 0.0
    parent_s: float = 0.0


@dataclass(slots=True)
class Clocked:
    """A fan-out that clocks each job; stages use it as any other.

    Attributes:
        fan_out: does the jobs.
        calls: one for each time that it was used.
        seconds: of each job of the first call.
        worker_mb: largest resident memory of a process that did jobs and is not this one; 0 where there is none.
        processes: that did jobs.
    """

    fan_out: FanOut
    calls: list[Call] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    worker_mb: float = 0.0
    processes: set[int] = field(default_factory=set)

    def __call__(self, work: Callable[[Any], Any], jobs: Sequence[Any], **told: Any) -> Iterator[Any]:
        """Yield what `work` makes of each job, in their order."""
        call, first = Call(), not self.calls
        self.calls.append(call)
        used = time.process_time()
        for one in self.fan_out(partial(timed, work=work), jobs, **told):
            self._note(one, call)
            if first:
                self.seconds.append(one.seconds)
            yield one.result
        call.parent_s += time.process_time() - used

    def _note(self, one: Timed[Any], call: Call) -> None:
        call.work_s += one.seconds
        self.processes.add(one.process)
        if one.process == os.getpid():
            call.parent_s -= one.seconds  # the job itself was done here
        else:
            self.worker_mb = max(self.worker_mb, one.peak_mb)

    @property
    def work_s(self) -> float:
        """Of all jobs of all calls."""
        return sum(call.work_s for call in self.calls)
