"""A chain of operations: matrices multiply and tables compose, so any recipe costs one look-up and one warp.

Grey levels change before pixels move: margins are then as black as their policy says, whatever the tables do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from itertools import product
from typing import Any

import cv2
import numpy as np

from stages.films import geometry
from stages.films.frame import Frame, Gray, Matrix, Table
from stages.films.geometry import Box, Interpolation, Margins
from stages.films.operations import LEVELS, Drawn, Geometric, Operation, Photometric
from stages.films.words import Words, words_of_copies, words_of_films

ZOOM_PLAY = 0.05  # the covering zoom is drawn from [z, z (1 + 0.05)), z being what the farthest draw needs


@dataclass(frozen=True)
class Chain:
    """A recipe for copies: operations in their order, and the policy of the margins.

    Attributes:
        operations: each kind at most once, since each fills columns of its own.
        margins: `black`, `reflect` and `replicate` fill what a warp reads from beyond the frame; `cover`
            zooms so far that no draw reads from there, by a factor that is drawn apart from the angle, so
            that the zoom does not tell it.
        interpolation: `nearest` (the 2020 recipe) or `bilinear`.
        frame: of the films and of the copies.
        seed: the same for all films.
    """

    operations: tuple[Operation, ...]
    margins: Margins
    interpolation: Interpolation
    frame: Frame
    seed: int

    @cached_property
    def least_zoom(self) -> float:
        """The zoom that covers the frame under every draw that the operations can make.

        Raises:
            ValueError: where no zoom can.
        """
        every_draw = list(product(*(operation.extremes() for operation in self._moving)))
        steps = [
            operation.matrix({name: np.array([drawn[name] for drawn in of_each]) for name in of_each[0]}, self.frame)
            for operation, of_each in zip(self._moving, zip(*every_draw, strict=True), strict=True)
        ]
        return geometry.covering_zoom(geometry.combine(steps), self.frame)

    @property
    def _moving(self) -> list[Geometric]:
        return [operation for operation in self.operations if isinstance(operation, Geometric)]

    def draws(self, film_id: str, copies: int, *, first: int = 1) -> Drawn:
        """Return what is drawn for so many copies of a film, from copy `first` on: by column, an array of numbers."""
        return self._drawn(partial(words_of_copies, self.seed, film_id, copies=copies, first=first))

    def draws_of_films(self, film_ids: Sequence[str], copies: int, *, first: int = 1) -> Drawn:
        """Return what `draws` returns for each of the films, all at once: arrays of shape (films, copies)."""
        return self._drawn(partial(words_of_films, self.seed, film_ids, copies=copies, first=first))

    def _drawn(self, words_of: Callable[[str], Words]) -> Drawn:
        """Return what all operations draw, each from words of its own."""
        drawn: dict[str, Any] = {}
        for operation in self.operations:
            drawn |= operation.draw(words_of(operation.op))
        if self.margins == "cover":
            drawn["zoom"] = words_of("cover").uniform(self.least_zoom, self.least_zoom * (1 + ZOOM_PLAY))
        return drawn

    def matrix(self, drawn: Drawn) -> Matrix:
        """Return the one matrix of all that moves pixels; the identity for the original, of which nothing is drawn."""
        if not drawn:
            return geometry.identity()
        matrices = [operation.matrix(drawn, self.frame) for operation in self._moving]
        if "zoom" in drawn:
            matrices.append(geometry.zoom(drawn["zoom"], self.frame))
        return geometry.combine(matrices)

    def table(self, drawn: Drawn) -> Table:
        """Return the one table of all that changes grey levels; that which changes none where nothing does."""
        tables = [operation.table(drawn) for operation in self.operations if isinstance(operation, Photometric)]
        return reduce(_then, tables) if tables else LEVELS.astype(np.uint8)

    def copy(self, image: Gray, matrix: Matrix, table: Table) -> Gray:
        """Return the copy of a normalized film that one matrix and one table make."""
        levels = np.asarray(cv2.LUT(image, table), np.uint8)
        return geometry.warp(levels, matrix, interpolation=self.interpolation, margins=self.margins)

    def apply(self, image: Gray, drawn: Drawn, *, film: Box) -> tuple[Gray, float]:
        """Return the copy that the drawn numbers stand for, and its share of pixels from outside the film.

        Args:
            image: the normalized film.
            drawn: one copy's numbers; empty for the original.
            film: where the image shows film: normalization may have padded it.
        """
        matrix = self.matrix(drawn)
        unfilled = float(geometry.outside_share(matrix, film, self.frame))
        return (self.copy(image, matrix, self.table(drawn)) if drawn else image), unfilled


def _then(first: Table, second: Table) -> Table:
    """Return the table that does what the first does and then the second; for one copy or many."""
    return np.take_along_axis(second, first, axis=-1)
