"""The thumbnails of an audit's films, on disk while they are needed: in memory they would be most of what it holds."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from stages.statistics.alignment import PIXELS


class Thumbnails:
    """Thumbnails one behind the other in a file that has no name, and so is gone with the process.

    They are read as an array's rows are, but not through a map of the file: for each page that is asked for, the kernel
    would map sixteen (fault-around), and films asked for at random would make most of the file the process's own.
    """

    def __init__(self, folder: Path) -> None:
        """Take a folder, which is made with the first thumbnail if it is not there."""
        self._folder = folder
        self._file: IO[bytes] | None = None
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
        """Return a copy of some films' grey levels, shape (films, SIDE x SIDE)."""
        places = np.arange(self._number)[films]
        levels = np.empty((len(places), PIXELS), np.uint8)
        if self._file is not None:
            self._file.flush()
            starts = np.flatnonzero(np.diff(places, prepend=-2) != 1)  # neighbours are read at once
            for start, end in pairwise([*starts.tolist(), len(places)]):
                self._read(levels[start:end], int(places[start]))
        return levels

    def _read(self, levels: NDArray[np.uint8], first: int) -> None:
        """Fill an array with the grey levels of as many films as it has rows, from the first on."""
        assert self._file is not None, "a thumbnail was added"
        read = os.preadv(self._file.fileno(), [levels.data], first * PIXELS)
        assert read == levels.nbytes, f"{read} bytes of thumbnails, expected {levels.nbytes}"
