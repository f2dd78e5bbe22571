"""What a stage is, and what it may ask of whoever runs it.

CxrError            the run failed; printed as one line, exit 1
├── StageError      a stage's promise cannot be kept: an input is missing, changed or empty
└── ParamsError     the parameters cannot be used; exit 2
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

Job = TypeVar("Job")
Result = TypeVar("Result")
P = TypeVar("P", bound="Params")

Root = Path  # the folder that every path of DESIGN's table lies under


class CxrError(Exception):
    """The run failed; the text says where, what was found, what was expected, what to do."""


class StageError(CxrError):
    """A stage's promise cannot be kept."""


class ParamsError(CxrError):
    """The parameters cannot be used."""


class Params(BaseModel):
    """A stage's parameters: only what may change output bytes. Frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def one(_job: object) -> int:
    """Weigh every job alike."""
    return 1


class FanOut(Protocol):
    """Apply work to every job, in parallel or not; results come in the order of the jobs.

    `weigh` tells how many `unit`s a job holds, for the progress bar alone.
    """

    def __call__(  # noqa: D102 - the class says it
        self,
        work: Callable[[Job], Result],
        jobs: Iterable[Job],
        *,
        unit: str = "files",
        weigh: Callable[[Job], int] = one,
    ) -> list[Result]: ...


class Track(Protocol):
    """Show progress over a known total; the context gives a function that adds to what is done.

    Its second argument, if any, is a short text beside the bar, such as the loss.
    """

    def __call__(  # noqa: D102 - the class says it
        self, total: int, /, *, unit: str
    ) -> AbstractContextManager[Callable[..., None]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the machine offers a run. Nothing in here may change output bytes beyond rounding on a device.

    Attributes:
        fan_out: applies work to jobs, in parallel.
        track: shows progress of work that is not fanned out.
        device: `auto`, `cpu` or `cuda`.
        raw: where the raw films lie, if not where the parameters or the audit say.
    """

    fan_out: FanOut
    track: Track
    device: str = "auto"
    raw: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did, for the line that the command prints.

    Attributes:
        done: how many units were done.
        unit: what they are, in the plural.
        set_aside: how many films got each status but ok in this run.
        lines: what else the user should read, a sentence or a table row each.
        written: what to open next, relative to the root.
    """

    done: int
    unit: str
    set_aside: Mapping[str, int] = field(default_factory=dict)
    lines: Sequence[str] = ()
    written: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Stage(Generic[P]):
    """One box of `dvc dag`.

    Attributes:
        name: the command's name.
        params: the class of its parameters.
        reads: files and folders under the root that it reads.
        writes: files and folders under the root that it writes.
        run: does the work.
    """

    name: str
    params: type[P]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    run: Callable[[P, Root, Machine], Report]


def counts(values: Iterable[Any]) -> dict[str, int]:
    """Return how often each value but `ok` occurs, the most frequent first."""
    found: dict[str, int] = {}
    for value in values:
        if value != "ok":
            found[str(value)] = found.get(str(value), 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
