"""When a run's state is saved: now and then, at the end of each epoch, and when a signal asks the run to end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHARE = 20  # saving may take one part in so many of a run's time, be the network ever so large


@dataclass(slots=True)
class Saver:
    """Saves at most so often.

    Attributes:
        save: puts the state on the disk.
        every_s: seconds between two states; 0 for one after every update.
    """

    save: Callable[[], None]
    every_s: float
    saved_at: float = field(default_factory=time.monotonic, init=False)
    took_s: float = field(default=0.0, init=False)

    def perhaps(self) -> None:
        """Save where it is time."""
        wait_s = max(self.every_s, SHARE * self.took_s) if self.every_s else 0.0
        if time.monotonic() - self.saved_at >= wait_s:
            self.now()

    def now(self) -> None:
        """Save."""
        started = time.monotonic()
        self.save()
        self.saved_at = time.monotonic()
        self.took_s = self.saved_at - started


@contextmanager
def held_back(first: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Hold signals that end the run back until the function that this yields is called, or the context ends well.

    To be called between two updates: in the middle of one the weights are neither the old ones nor the new. Whoever
    set the signal's handler is called then, so that a run ends as it would have ended; later signals are held back
    no more.

    Args:
        first: done before the handler is called.
    """
    if threading.current_thread() is not threading.main_thread():  # Python hears signals in the main thread alone
        yield lambda: None
        return
    heard: list[tuple[int, FrameType | None]] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heeded = {number: handler for number, handler in before.items() if callable(handler)}

    def let_go() -> None:
        if heard:
            number, frame = heard[0]
            handler = heeded[signal.Signals(number)]
            heard.clear()  # a handler may return, and the run go on
            restore()
            first()
            handler(number, frame)

    def restore() -> None:
        while heeded:  # once: whoever is called may set handlers of its own
            signal.signal(*heeded.popitem())

    for each in heeded:
        signal.signal(each, lambda number, frame: heard.append((number, frame)))
    try:
        yield let_go
        let_go()  # of what was heard after the last call
    finally:
        restore()
