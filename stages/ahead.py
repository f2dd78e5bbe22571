"""Films that the audit decoded and normalize needs next: where one run does both, each film is decoded once."""

from __future__ import annotations

import errno
import os
import secrets
import struct
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import numpy as np
from PIL import Image

from manifests.places import HOST
from stages.films.frame import Frame, Gray
from stages.films.placement import Placement, Policy, fit, place

THIS_PROCESS = secrets.token_hex(4)  # on another machine, a process may have the same number
# a film's hash, and the raw film's height and width; its grey levels in the frame follow
HEAD = struct.Struct("<32sII")


@dataclass(frozen=True, slots=True)
class Ahead:
    """A folder of films in the frame: a file for each process and the first two digits of hashes, film after film.

    A file for each film would take as much time as the film's thumbnail. A film that a killed process wrote in part is
    the last in its file, which nobody adds to any more, and is not found.

    Attributes:
        folder: lives as long as the run.
        frame: of every film.
        policy: how films come into it.
    """

    folder: Path
    frame: Frame
    policy: Policy

    def keep(self, film_id: str, image: Image.Image) -> tuple[Gray, Placement]:
        """Put a decoded film into the frame, lay it down for whoever asks for it next, and return what `found` will.

        Raises:
            OSError: where the disk is full.
        """
        placement = place(Frame(height=image.height, width=image.width), frame=self.frame, policy=self.policy)
        framed = fit(image, placement)
        record = HEAD.pack(bytes.fromhex(film_id), image.height, image.width) + framed.tobytes()
        with (
            suppress(FileNotFoundError),  # this is another machine: it goes without
            (self.folder / f"{film_id[:2]}.{os.getpid()}-{THIS_PROCESS}").open("ab", buffering=0) as file,
        ):
            # one call, since threads share the file; films after one that a full disk has cut would be misread
            if file.write(record) < len(record):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)
        return framed, placement

    def found(self, film_ids: Iterable[str]) -> dict[str, tuple[Gray, Placement]]:
        """Return the films that were kept, by their hash, each in the frame and how it came there."""
        wanted = set(film_ids)
        starts = {film_id[:2] for film_id in wanted}
        if not self.folder.is_dir():  # as above
            return {}
        files = sorted(file for file in self.folder.iterdir() if file.name[:2] in starts)
        return {film_id: kept for file in files for film_id, kept in self._films_of(file, wanted)}

    def _films_of(self, file: Path, wanted: Container[str]) -> Iterator[tuple[str, tuple[Gray, Placement]]]:
        with file.open("rb", buffering=0) as opened:
            while len(head := opened.read(HEAD.size)) == HEAD.size:
                name, height, width = HEAD.unpack(head)
                if (film_id := name.hex()) not in wanted:
                    opened.seek(self.frame.pixels, os.SEEK_CUR)
                elif len(levels := opened.read(self.frame.pixels)) == self.frame.pixels:
                    image = np.frombuffer(levels, np.uint8).reshape(self.frame.height, self.frame.width)
                    film = Frame(height=height, width=width)
                    yield film_id, (image, place(film, frame=self.frame, policy=self.policy))


@contextmanager
def kept_ahead(folder: Path, frame: Frame, policy: Policy) -> Iterator[Ahead]:
    """Keep films in a folder of this run's own, and remove it whatever happens.

    Normalize removes the films as soon as it has published its own: no row claims them.
    """
    own = folder / f".ahead.{HOST}.{os.getpid()}.partial"  # a name that `remove_partials` and `cache_of_run` know
    own.mkdir(parents=True, exist_ok=True)
    try:
        yield Ahead(own, frame, policy)
    finally:
        rmtree(own, ignore_errors=True)
