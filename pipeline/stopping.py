"""Ctrl-C and SIGTERM end a run within two seconds, and leave no process behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
DEADLINE_S = 1.5

_heard: list[int] = []  # by this process: none, or the one that ends it


class Stopped(KeyboardInterrupt):
    """A signal asked the run to end; the text is its name."""


@contextmanager
def stoppable(end: Callable[[str], None]) -> Iterator[None]:
    """Raise `Stopped` where a signal asks the run to end.

    Python raises between two of its own steps, so a long call into a library (a batch, a big file) would hold it
    up: a thread that the signal wakes calls `end` with the signal's name at the deadline, and ends the process.
    """
    if threading.current_thread() is not threading.main_thread():  # Python hears signals in the main thread alone
        yield
        return
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)
    over = threading.Event()
    threading.Thread(target=_enforce, args=(ear, over, end), daemon=True).start()
    woken = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # a shell's `&`, nohup
    before = {number: signal.signal(number, _stop) for number in heeded}
    try:
        yield
    except Stopped:
        raise  # the deadline holds until the process has ended
    except BaseException:
        _hear_no_more(before, woken, over, mouth)
        raise
    else:
        _hear_no_more(before, woken, over, mouth)


def _hear_no_more(
    before: Mapping[signal.Signals, object], woken: int, over: threading.Event, mouth: socket.socket
) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned
    signal.set_wakeup_fd(woken)
    over.set()
    mouth.close()


def heard() -> bool:
    """Return whether a signal has asked this process to end."""
    return bool(_heard)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    _heard.append(number)
    for other in SIGNALS:  # once is enough
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(signal.Signals(number).name)


def _enforce(ear: socket.socket, over: threading.Event, end: Callable[[str], None]) -> None:
    woken_by: list[int] = []
    with ear:
        while not woken_by and (numbers := ear.recv(16)):  # nothing once the run is over
            woken_by = [number for number in numbers if number in SIGNALS]  # a library may hear of its children
    if woken_by and not over.wait(DEADLINE_S):
        end(signal.Signals(woken_by[0]).name)
        os._exit(1)


def end_children() -> None:
    """End every process that this one has started through multiprocessing: joblib's workers are among them."""
    for child in multiprocessing.active_children():
        if child.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)  # joblib's processes have no kill() of their own
