"""Which jobs were handed out, and which of them are still under way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import length_hint
from typing import Generic, TypeVar

Job = TypeVar("Job")


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
    def left(self) -> int:
        """How many were not handed out yet."""
        return length_hint(self._left)

    @property
    def any_left(self) -> bool:
        """Whether some were not handed out yet."""
        return self.left > 0

    def __iter__(self) -> Iterator[tuple[int, Job]]:
        """Hand out those that are left; whoever comes later goes on from there."""
        for index in self._left:
            job = self.jobs[index]
            self.under_way[index] = job
            yield index, job
