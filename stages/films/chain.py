"""A chain of operations: matrices multiply and tables compose, so any recipe costs one look-up and one warp.

Grey levels change before pixels move: margins are then as black as their policy says, whatever the tables do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

import cv2
import numpy as np

from stages.films import geometry
from stages.films.frame import Frame, Gray, Matrix, Table
from stages.films.geometry import Box
from stages.films.operations import LEVELS, Drawn, Geometric, Operation, Photometric
from stages.films.words import words_of_copies

Margins = Literal["black", "reflect", "replicate", "cover"]
Interpolation = Literal["nearest", "bilinear"]
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
        moving = [operation for operation in self.operations if isinstance(operation, Geometric)]
        every_draw = product(*(operation.extremes() for operation in moving))
        matrices = (
            geometry.combine(
                operation.matrix(drawn, self.frame) for operation, drawn in zip(moving, draws, strict=True)
            )
            for draws in every_draw
        )
        return max(geometry.covering_zoom(matrix, self.frame) for matrix in matrices)

    def draws(self, film_id: str, copies: int) -> Iterator[Drawn]:
        """Yield what is drawn for copies 1 to `copies` of a film."""
        columns = [words_of_copies(self.seed, film_id, operation.op, copies) for operation in self.operations]
        zooms = words_of_copies(self.seed, film_id, "cover", copies)
        for *of_operations, zoom in zip(*columns, zooms, strict=True):
            drawn: dict[str, float | bool] = {}
            for operation, words in zip(self.operations, of_operations, strict=True):
                drawn |= operation.draw(words)
            if self.margins == "cover":
                drawn["zoom"] = zoom.uniform(self.least_zoom, self.least_zoom * (1 + ZOOM_PLAY))
            yield drawn

    def matrix(self, drawn: Drawn) -> Matrix:
        """Return the one matrix of all that moves pixels; the identity for the original, of which nothing is drawn."""
        if not drawn:
            return geometry.identity()
        matrices = [
            operation.matrix(drawn, self.frame) for operation in self.operations if isinstance(operation, Geometric)
        ]
        if "zoom" in drawn:
            matrices.append(geometry.zoom(drawn["zoom"], self.frame))
        return geometry.combine(matrices)

    def table(self, drawn: Drawn) -> Table:
        """Return the one table of all that changes grey levels."""
        table = LEVELS.astype(np.uint8)
        for operation in self.operations:
            if isinstance(operation, Photometric):
                table = operation.table(drawn)[table]
        return table

    def apply(self, image: Gray, drawn: Drawn, *, film: Box) -> tuple[Gray, float]:
        """Return the copy that the drawn numbers stand for, and its share of pixels from outside the film.

        Args:
            image: the normalized film.
            drawn: one copy's numbers; empty for the original.
            film: where the image shows film: normalization may have padded it.
        """
        matrix = self.matrix(drawn)
        unfilled = geometry.outside_share(matrix, film, self.frame)
        if not drawn:
            return image, unfilled
        levels = np.asarray(cv2.LUT(image, self.table(drawn)), np.uint8)
        return geometry.warp(levels, matrix, interpolation=self.interpolation, margins=self.margins), unfilled
