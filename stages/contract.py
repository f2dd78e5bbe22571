"""What a stage is, and what it may ask of whoever runs it.

CxrError            the run failed; printed as one line, exit 1
├── StageError      a stage's promise cannot be kept: an input is missing, changed or empty
└── ParamsError     the parameters cannot be used; exit 2
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from manifests.places import AnyPath
from manifests.rows import Status

if TYPE_CHECKING:
    from stages.ahead import Ahead


Job = TypeVar("Job")
Result = TypeVar("Result")
P = TypeVar("P", bound="Params")

Root = AnyPath  # what every path of `stages.paths` lies under: a folder, or a prefix in an object store


class CxrError(Exception):
    """The run failed; the text says where, what was found, what was expected, what to do."""


class StageError(CxrError):
    """A stage's promise cannot be kept."""


class ParamsError(CxrError):
    """The parameters cannot be used."""


class Params(BaseModel):
    """A stage's parameters: only what may change output bytes. Frozen; unknown keys are errors, and so is NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, given: Any, info: ValidationInfo) -> Any:
        """Refuse `copies: yes`, which YAML reads as true and Python would take for 1."""
        wanted = cls.model_fields[str(info.field_name)].annotation
        if isinstance(given, bool) and wanted in (int, float):
            raise ValueError("a switch (yes, no, true or false); expected a number")
        return given


def one(_job: object) -> int:
    """Weigh every job alike."""
    return 1


@dataclass(frozen=True, slots=True)
class Failure:
    """Why nothing came of a film: it ended the process that worked on it, or took longer than it may."""

    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class Retry(Generic[Job]):
    """How a job is done after one of its films ended the process that worked on it.

    Attributes:
        alone: the job of one film of a job, by the name that the work gave to `begin`.
        without: a job with the films known to have failed: its result has their rows, and the other films' as ever.
    """

    alone: Callable[[Job, str], Job]
    without: Callable[[Job, Mapping[str, Failure]], Job]


def _nobody(_film: str) -> None:
    return


_listener: ContextVar[Callable[[str], None]] = ContextVar("listener", default=_nobody)


def begin(film: str) -> None:
    """Tell whoever runs this job that its work on a film begins: if the process ends or hangs now, it is the film's."""
    _listener.get()(film)


@contextmanager
def heard(listener: Callable[[str], None]) -> Iterator[None]:
    """Let a listener hear which film begins."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class Made(Sequence[Job]):
    """Jobs that are made when they are asked for: a list of them would hold every film's row at once."""

    def __init__(self, make: Callable[[int], Job], number: int) -> None:
        """Let `make` give the job of each place, of so many; asked again, it gives an equal one."""
        self._make = make
        self._number = number

    def __len__(self) -> int:
        """Return how many there are."""
        return self._number

    @overload
    def __getitem__(self, place: int, /) -> Job: ...
    @overload
    def __getitem__(self, place: slice, /) -> Made[Job]: ...
    def __getitem__(self, place: int | slice, /) -> Job | Made[Job]:
        """Return the job of a place, or the jobs of a slice, none of them made yet."""
        places = range(self._number)[place]  # an IndexError where there is none
        if isinstance(places, int):
            return self._make(places)
        return Made(lambda number: self._make(places[number]), len(places))


class FanOut(Protocol):
    """Apply work to every job, in parallel or not; results come in the order of the jobs, each as soon as it can.

    Of the jobs, those under way are held and no others (see `Made`). `weigh` tells how many `unit`s a job holds and
    `total` how many there are, for the progress bar alone; without it, all jobs are weighed first. `retry` tells how
    a job goes on without a film that ends its process; without it, such a film ends the run. `within` tells of
    progress to a bar that is shown already, in place of one of its own.
    """

    def __call__(  # noqa: D102 - the class says it
        self,
        work: Callable[[Job], Result],
        jobs: Sequence[Job],
        *,
        unit: str = "files",
        weigh: Callable[[Job], int] = one,
        total: int | None = None,
        retry: Retry[Job] | None = None,
        within: Callable[..., None] | None = None,
    ) -> Iterable[Result]: ...


class Track(Protocol):
    """Show progress over a known total; the context gives a function that adds to what is done.

    Its second argument, if any, is a short text beside the bar, such as the loss.
    """

    def __call__(  # noqa: D102 - the class says it
        self, total: int, /, *, unit: str
    ) -> AbstractContextManager[Callable[..., None]]: ...


def _unheard(_results: bytes) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How training uses the machine.

    Attributes:
        residence: where the images lie: `auto`, `device`, `host` or `stream`.
        save_every_s: seconds between two saved states.
        anew: whether a stopped run's state is left behind.
        tensorboard: a folder for TensorBoard's event files; None for none.
        compiled: whether the network is compiled first: a slow start, faster steps.
        rank: this process among all that train together, from 0: the first one writes and speaks.
        ranks: how many there are.
        local_rank: this process among those of its machine, from 0.
        local_ranks: how many of them are on its machine, and share its memory.
    """

    residence: str = "auto"
    save_every_s: float = 60.0
    anew: bool = False
    tensorboard: Path | None = None
    compiled: bool = False
    rank: int = 0
    ranks: int = 1
    local_rank: int = 0
    local_ranks: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the machine offers a run. Nothing in here may change output bytes beyond rounding on a device.

    Attributes:
        fan_out: applies work to jobs, in parallel.
        track: shows progress of work that is not fanned out.
        device: `auto`, `cpu` or `cuda`.
        raw: where the raw films lie, if not where the parameters or the audit say.
        ahead: keeps the films that one stage decodes for the next, where both are one run.
        sections: what params.yaml says of each stage, for a tool that runs stages anew.
        training: how training uses it.
        results: takes lines of results for standard output, as they come.
    """

    fan_out: FanOut
    track: Track
    device: str = "auto"
    raw: AnyPath | None = None
    ahead: Ahead | None = None
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    training: Training = Training()
    results: Callable[[bytes], None] = _unheard


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did, for the line that the command prints.

    Attributes:
        done: how many units were done.
        unit: what they are, in the plural.
        set_aside: how many films got each status but ok in this run.
        lines: what else the user should read, a sentence or a table row each.
        written: what to open next, relative to the root.
        verdict: what a check came to; it ends the line in place of what was set aside.
        failed: whether what was checked is not as it should be; exit 1.
    """

    done: int
    unit: str
    set_aside: Mapping[str, int] = field(default_factory=dict)
    lines: Sequence[str] = ()
    written: Sequence[str] = ()
    verdict: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Stage(Generic[P]):
    """One box of `dvc dag`.

    Attributes:
        name: the command's name.
        params: the class of its parameters.
        reads: files and folders under the root that it reads.
        writes: files and folders under the root that it writes.
        run: does the work.
        writes_if: the parameter without which it writes nothing; empty where it always writes.
        arguments: the parameter, a tuple of words, that the command takes without a flag; empty where there is none.
        trains: whether it takes what training can be told of the machine; `torchrun` may run it in several processes.
        goes_on: what a run does after one that was stopped, in words; empty where shards or nothing are kept.
        results_to: the parameter that names the file of its results; where that is not given, they alone go to
            standard output, and all else that the command says to standard error. Empty where there are none.
    """

    name: str
    params: type[P]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    run: Callable[[P, Root, Machine], Report]
    writes_if: str = ""
    arguments: str = ""
    trains: bool = False
    goes_on: str = ""
    results_to: str = ""
