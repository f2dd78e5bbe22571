"""Work that goes well, fails, ends its process or holds it: light to load, for processes that start often."""

from __future__ import annotations

import ctypes
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from stages.contract import Retry, StageError, begin


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise StageError("three")
    return number


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def end_early(_number: int) -> int:
    raise EOFError("the file ends")


def opencv_threads(_number: int) -> int:
    return int(cv2.getNumThreads())


@dataclass(frozen=True)
class Box:
    """A job of several films; a film is a word, and some words are fatal."""

    films: tuple[str, ...]
    failed: tuple[str, ...] = ()


def work_on(box: Box, *, notes: Path | None = None) -> list[str]:
    done = []
    for film in box.films:
        begin(film)
        if film.startswith("segfault"):
            ctypes.string_at(0)
        if film.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if film.startswith("hold"):
            ctypes.PyDLL(None).sleep(600)  # as a codec that never gives Python a turn
        if film.startswith("once") and notes is not None and not (notes / film).exists():
            (notes / film).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(film.upper())
    return [*done, *box.failed]


BOXES = Retry(
    alone=lambda box, film: replace(box, films=(film,)),
    without=lambda box, failures: Box(
        tuple(film for film in box.films if film not in failures),
        tuple(f"{film}: {failure.status}: {failure.reason}" for film, failure in failures.items()),
    ),
)


def boxes_of_four(number: int, *fatal: str) -> list[Box]:
    """Return boxes of four films each, fatal films among those of the second and, if many, of the next."""
    films = [[f"{box}{film}" for film in "abcd"] for box in range(number)]
    for place, name in enumerate(fatal):
        films[1 + place // 2][1 + place % 2] = name
    return [Box(tuple(inside)) for inside in films]
