"""Films that the audit decoded and normalize needs next: where one run does both, each film is decoded once."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import numpy as np
from PIL import Image

from stages.films.frame import Frame, Gray
from stages.films.placement import Placement, Policy, fit, place

SIZE = struct.Struct("<II")  # the raw film's height and width, before the grey levels in the frame


@dataclass(frozen=True, slots=True)
class Ahead:
    """A folder of films in the frame, by their hash; each is taken once.

    Attributes:
        folder: lives as long as the run.
        frame: of every film.
        policy: how films come into it.
    """

    folder: Path
    frame: Frame
    policy: Policy

    def keep(self, film_id: str, image: Image.Image) -> None:
        """Put a decoded film into the frame and lay it down for whoever asks for it next."""
        placement = place(Frame(height=image.height, width=image.width), frame=self.frame, policy=self.policy)
        aside = self.folder / f"{film_id}.{os.getpid()}"  # the same film may lie in the raw folder twice
        aside.write_bytes(SIZE.pack(image.height, image.width) + fit(image, placement).tobytes())
        aside.replace(self.folder / film_id)

    def take(self, film_id: str) -> tuple[Gray, Placement] | None:
        """Return a film in the frame and how it came there; None where it was not kept, or is taken already."""
        file = self.folder / film_id
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        file.unlink()
        height, width = SIZE.unpack_from(data)
        image = np.frombuffer(data, np.uint8, offset=SIZE.size).reshape(self.frame.height, self.frame.width)
        return image, place(Frame(height=height, width=width), frame=self.frame, policy=self.policy)


@contextmanager
def kept_ahead(folder: Path, frame: Frame, policy: Policy) -> Iterator[Ahead]:
    """Keep films in a folder of this run's own, and remove it whatever happens."""
    own = folder / f".ahead.{os.getpid()}.partial"  # a name that `store.remove_partials` knows
    own.mkdir(parents=True, exist_ok=True)
    try:
        yield Ahead(own, frame, policy)
    finally:
        rmtree(own, ignore_errors=True)
