"""What goes to a terminal: bars that tell how far a run is, and texts of strangers that may do nothing to it."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stages.contract import Track


@dataclass(slots=True)
class Tally:
    """Counts what it is told to track, for whoever asks how far a run came; `track` shows it."""

    track: Track
    done: int = 0
    total: int = 0
    unit: str = ""

    def __call__(self, total: int, *, unit: str) -> AbstractContextManager[Callable[..., None]]:
        """Return the context of the track that shows, and count along."""
        self.done, self.total, self.unit = 0, total, unit
        return self._counting(self.track(total, unit=unit))

    @contextmanager
    def _counting(self, shown: AbstractContextManager[Callable[..., None]]) -> Iterator[Callable[..., None]]:
        with shown as show:

            def advance(done: int = 1, text: str = "") -> None:
                self.done += done
                show(done, text)

            yield advance

    @property
    def text(self) -> str:
        """How far the run came."""
        return f"after {self.done:,} of {self.total:,} {self.unit}" if self.done else "before anything was done"


UNSHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format (right-to-left marks), surrogates, line breaks


def shown(text: str) -> str:
    r"""Return a text as one line that does nothing to a terminal: names of films may hold `\n` and `\x1b[2J`."""
    return "".join(
        letter.encode("unicode_escape").decode() if unicodedata.category(letter) in UNSHOWN else letter
        for letter in text
    )


def harmless(lines: bytes) -> bytes:
    """Return lines of text, each ended by a line break, as `shown` shows each: its other breaks end no line."""
    *whole, rest = lines.decode().split("\n")  # not `splitlines`: names hold other breaks
    return b"".join(shown(line).encode() + b"\n" for line in whole) + shown(rest).encode()


@dataclass(frozen=True)
class ProgressBar:
    """Tracks work by a bar on standard error, where that is a terminal and bars are wanted."""

    name: str
    wanted: bool

    def __call__(self, total: int, *, unit: str) -> AbstractContextManager[Callable[..., None]]:
        """Return a context that gives the function which adds to what is done, with a text beside the bar."""
        shown = self.wanted and sys.stderr.isatty()
        return _bar(self.name, total, unit) if shown else _silence()


@contextmanager
def _silence() -> Iterator[Callable[..., None]]:
    def advance(_done: int = 1, _text: str = "") -> None:
        return

    yield advance


@contextmanager
def _bar(name: str, total: int, unit: str) -> Iterator[Callable[..., None]]:
    from rich.console import Console  # noqa: PLC0415 - 50 ms that a run without a terminal need not pay
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=total, unit=unit, rate="", text="")

        def advance(done: int = 1, text: str = "") -> None:
            speed = progress.tasks[0].finished_speed or progress.tasks[0].speed
            rate = f"{speed:,.0f} {unit}/s" if speed else ""
            progress.update(task, advance=done, rate=rate, text=text or progress.tasks[0].fields["text"])

        yield advance
