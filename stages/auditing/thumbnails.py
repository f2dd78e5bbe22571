"""The thumbnails of an audit's films, on disk while they are needed: in memory they would be most of what it holds."""

from __future__ import annotations

import mmap
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from stages.statistics.alignment import SIDE

PIXELS = SIDE * SIDE


class Thumbnails:
    """Thumbnails one behind the other in a file that has no name, and so is gone with the process.

    They are read as an array's rows are. What was read is no part of the process's memory afterwards.
    """

    def __init__(self, folder: Path) -> None:
        """Take a folder, which is made with the first thumbnail if it is not there."""
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._mapped: mmap.mmap | None = None
        self._number = 0

    def __enter__(self) -> Self:
        """Return itself: the file is closed at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def add(self, thumbnail: bytes) -> None:
        """Add a film's grey levels, SIDE x SIDE of them; a film that has none is black."""
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = TemporaryFile(dir=self._folder, buffering=256 * PIXELS)  # noqa: SIM115 - closed by __exit__
        self._file.write(thumbnail or bytes(PIXELS))
        self._number += 1

    def __len__(self) -> int:
        """Return how many films there are."""
        return self._number

    def __getitem__(self, films: Any, /) -> NDArray[np.uint8]:
        """Return a copy of some films' grey levels, shape (films, SIDE x SIDE); nothing may be added from now on."""
        if self._file is None:
            return np.zeros((0, PIXELS), np.uint8)
        if self._mapped is None:
            self._file.flush()
            self._mapped = mmap.mmap(self._file.fileno(), self._number * PIXELS, access=mmap.ACCESS_READ)
        levels: NDArray[np.uint8] = np.array(np.frombuffer(self._mapped, np.uint8).reshape(-1, PIXELS)[films])
        self._mapped.madvise(mmap.MADV_DONTNEED)
        return levels
