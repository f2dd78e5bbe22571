"""A process of its own that does one job after another and is watched: which film it began, how it ended."""

from __future__ import annotations

import faulthandler
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from pipeline.lean import keep_pandas_from_arrow
from stages.contract import Failure, heard

Job = TypeVar("Job")
Result = TypeVar("Result")

STOPS = (signal.SIGINT, signal.SIGTERM)
LOOKS_PER_S = 4  # how often a worker looks whether its parent lives
LOOK_S = 0.5  # how often a process's owner looks whether its answer is still wanted, where that can be known
GRACE_S = 10.0  # the worker's own alarm goes off after the parent's, and only matters where there is no parent


class Unwanted(Exception):  # noqa: N818 - no error: nobody waits any more
    """The process was ended: nobody wants its answer any more."""


@dataclass(frozen=True, slots=True)
class Died:
    """A process that ended, or had to be ended, before its job was done.

    Attributes:
        how: the signal's name or the exit code; for a process that hung, how long it was given.
        hung: whether it had to be ended.
        film: the film it had begun last, if any.
        passed: the film before that one, if any.
    """

    how: str
    hung: bool
    film: str | None
    passed: str | None

    @property
    def failure(self) -> Failure:
        """What the film's row says."""
        if self.hung:
            return Failure("timed_out", f"took longer than {self.how}; --film-timeout says how long a film may take")
        cause = "a crash in a library, or the kernel killed it for want of memory"
        return Failure("crashed", f"ended the process that worked on it, also alone ({self.how}): {cause}")


@dataclass(frozen=True, slots=True)
class Done(Generic[Result]):
    """What came of a job, and whether a film was worked on."""

    result: Result
    any_film: bool


@dataclass(slots=True)
class Watched:
    """A process that does one job after another; a new one is started where there is none.

    Attributes:
        film_timeout_s: how long a film may take; 0 for ever.
        started_in: the folder that relative paths start from; empty for this process's own.
        wanted: tells whether anybody still waits for an answer; None where that is so for sure.
    """

    film_timeout_s: float
    started_in: str = ""
    wanted: Callable[[], bool] | None = None
    _process: Any = None
    _connection: Connection | None = None

    def ask(self, work: Callable[[Job], Result], job: Job) -> Done[Result] | Died:
        """Return what comes of a job, or how its process ended.

        Raises:
            Unwanted: where nobody waits for it any more.
            Exception: what the work raised.
        """
        connection = self._started()
        began: list[str] = []
        try:
            connection.send((work, job))
            while True:
                if not self._heard(connection, (self.film_timeout_s or None) if began else None):
                    self.end()
                    return Died(f"{self.film_timeout_s:g} s", True, *_last_two(began))
                kind, value = connection.recv()
                if kind == "began":
                    began = [*began[-1:], value]
                elif kind == "done":
                    return Done(value, bool(began))
                else:
                    break
        except (EOFError, ConnectionError):
            return Died(self.end(patience_s=1), False, *_last_two(began))
        raise value  # out here: an EOFError of the work's own is no process that died

    def _heard(self, connection: Connection, limit_s: float | None) -> bool:
        """Return whether the process says something before the limit.

        Raises:
            Unwanted: where nobody waits for it any more.
        """
        if self.wanted is None:
            return connection.poll(limit_s)
        deadline = math.inf if limit_s is None else time.monotonic() + limit_s
        while not connection.poll(max(0.0, min(LOOK_S, deadline - time.monotonic()))):
            if not self.wanted():
                self.end()
                raise Unwanted
            if time.monotonic() >= deadline:
                return False
        return True

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def _started(self) -> Connection:
        if self._connection is None:
            ours, theirs = multiprocessing.Pipe()
            arguments = (theirs, os.getpid(), self.film_timeout_s, self.started_in)
            # spawn: a forked child would inherit locks that other threads hold, and the lock on the root
            process = multiprocessing.get_context("spawn").Process(target=_serve, args=arguments, daemon=True)
            resource_tracker.ensure_running()  # its start would let the keyboard go again
            with undisturbed(), _with_children():
                process.start()
            theirs.close()
            self._process, self._connection = process, ours
        return self._connection

    def kill(self) -> None:
        """End the process at once, whatever thread waits for it."""
        process = self._process
        if process is not None:
            process.kill()
            process.join(timeout=1)

    def end(self, *, patience_s: float = 0) -> str:
        """End the process, unless it ends by itself, and return how it ended."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if process is None or connection is None:
            return ""
        process.join(timeout=patience_s)
        if process.exitcode is None:
            process.kill()
            process.join(timeout=5)  # one that waits for a dead disk cannot be killed: it is left behind
        connection.close()
        return _how(process.exitcode)


_starting = threading.Lock()


@contextmanager
def _with_children() -> Iterator[None]:
    """Let a process have children that multiprocessing takes for somebody's child itself: a Dask nanny's worker is.

    The ban keeps processes from outliving their parent, and ours look whether theirs lives (`prepare`).
    """
    config: dict[str, Any] = multiprocessing.current_process()._config  # type: ignore[attr-defined]  # noqa: SLF001
    with _starting:
        daemonic = config.get("daemon")
        config["daemon"] = False
        try:
            yield
        finally:
            if daemonic is None:
                del config["daemon"]
            else:
                config["daemon"] = daemonic


def _last_two(began: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the film that was begun last, and the one before."""
    return (began[-1] if began else None), (began[-2] if len(began) > 1 else None)


def _how(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        with suppress(ValueError):
            return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


def _serve(connection: Connection, parent: int, film_timeout_s: float, started_in: str) -> None:
    """Do jobs until the connection closes."""
    prepare(parent)
    if started_in:
        with suppress(OSError):  # not there: whoever uses a relative path was refused, absolute ones need none
            os.chdir(started_in)
    alarm = film_timeout_s + GRACE_S if film_timeout_s else 0
    with suppress(EOFError, ConnectionError):
        while True:
            work, job = connection.recv()
            with heard(partial(_began, connection, alarm)):
                answer = _answer(work, job)
            disarm()
            connection.send(answer)


def _began(connection: Connection, alarm_s: float, film: str) -> None:
    arm(alarm_s)
    connection.send(("began", film))


def _answer(work: Callable[[Any], Any], job: Any) -> tuple[str, Any]:
    try:
        return "done", work(job)
    except Exception as error:  # noqa: BLE001 - raised again by whoever asked
        return "raised", error


def prepare(parent: int) -> None:
    """Make this process a worker: the keyboard is not for it, it ends soon after its parent, and crashes quietly."""
    keep_pandas_from_arrow()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # see `arm`; a shell may have it ignored
    nowhere = open(os.devnull, "wb")  # noqa: SIM115, PTH123 - open as long as the process lives
    faulthandler.enable(nowhere)  # joblib's workers would print each thread's stack; the film's row says enough


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1 / LOOKS_PER_S)
    os._exit(1)


def arm(limit_s: float) -> None:
    """End this process `limit_s` from now, whatever it is doing then; 0 for never.

    The kernel ends it (SIGALRM, its default action), so that a codec which never gives Python a turn is ended as
    well; arming anew takes a microsecond, and is done for every film.
    """
    signal.setitimer(signal.ITIMER_REAL, limit_s)


def disarm() -> None:
    """Take the alarm back."""
    signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Start processes, and hear a signal once they are started: one without its parent's word would complain.

    They never hear Ctrl-C, which a terminal sends to all: their parent ends them.
    """
    missed: list[int] = []
    heard_here = threading.current_thread() is threading.main_thread()
    heeded = [number for number in STOPS if heard_here and callable(signal.getsignal(number))]
    before: dict[signal.Signals, Any] = {
        number: signal.signal(number, lambda found, _frame: missed.append(found)) for number in heeded
    }
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        for found in missed[:1]:
            before[signal.Signals(found)](found, None)
