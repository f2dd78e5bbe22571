"""A film as a short vector: area means of the whole frame, or of its border alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.films.frame import Gray

SIDE = 28  # cells down and across: what the linear probe sees of a film
BORDER = 16  # one part in so many of the frame's height and width is border, on each side

Means = NDArray[np.float32]  # (cells,), grey levels


def cells(image: Gray, *, side: int = SIDE) -> Means:
    """Return the mean grey level of each of side x side equal parts of the image, row by row."""
    return _means(image, side, side)


def border(image: Gray, *, side: int = SIDE) -> Means:
    """Return the mean grey levels along the image's top, bottom, left and right edges, each in `side` cells.

    Nothing but the outer 1/16 of the height and of the width is looked at, at least one pixel.
    """
    height, width = image.shape
    deep, wide = max(1, height // BORDER), max(1, width // BORDER)
    return np.concatenate(
        [
            _means(image[:deep], 1, side),
            _means(image[height - deep :], 1, side),
            _means(image[:, :wide], side, 1),
            _means(image[:, width - wide :], side, 1),
        ]
    )


def _means(image: Gray, down: int, across: int) -> Means:
    """Return the mean of each of down x across equal parts of an image, row by row."""
    return _means_of_rows(_means_of_rows(image, down).T, across).T.ravel().astype(np.float32)


def _means_of_rows(levels: NDArray[Any], cells: int) -> NDArray[np.float64]:
    """Return (cells, columns): the mean of each of so many equal parts of the rows, a row shared by its parts.

    Sums up to an edge, and no product of matrices: on films this small, BLAS's threads cost more than they bring.
    """
    rows = len(levels)
    sums = np.zeros((rows + 1, levels.shape[1]))
    np.cumsum(levels, axis=0, out=sums[1:])
    edges = np.arange(cells + 1) * (rows / cells)
    whole = np.minimum(edges.astype(np.int64), rows - 1)
    to_edge = sums[whole] + (edges - whole)[:, None] * levels[whole]
    return np.asarray(np.diff(to_edge, axis=0) * (cells / rows), np.float64)
