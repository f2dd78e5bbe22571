"""A film as a short vector: area means of the whole frame, or of its border alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stages.films.frame import Gray

SIDE = 28  # cells down and across: what the linear probe sees of a film
BORDER = 16  # one part in so many of the frame's height and width is border, on each side

Means = NDArray[np.float32]  # (cells,), grey levels


def thumbnail(image: Gray, *, side: int = SIDE) -> Means:
    """Return the mean grey level of each of side x side equal parts of the image, row by row."""
    return _means(image, side, side)


def border(image: Gray, *, cells: int = SIDE) -> Means:
    """Return the mean grey levels along the image's top, bottom, left and right edges, each in so many cells.

    Nothing but the outer 1/16 of the height and of the width is looked at, at least one pixel.
    """
    height, width = image.shape
    deep, wide = max(1, height // BORDER), max(1, width // BORDER)
    return np.concatenate(
        [
            _means(image[:deep], 1, cells),
            _means(image[height - deep :], 1, cells),
            _means(image[:, :wide], cells, 1),
            _means(image[:, width - wide :], cells, 1),
        ]
    )


def _means(image: Gray, down: int, across: int) -> Means:
    height, width = image.shape
    levels = image.astype(np.float32)  # a product of mixed types is no BLAS call and takes 40 times as long
    return np.asarray((_shares(height, down) @ levels @ _shares(width, across).T).ravel(), np.float32)


@lru_cache(maxsize=16)
def _shares(pixels: int, cells: int) -> NDArray[np.float32]:
    """Return (cells, pixels): which share of a cell each pixel covers; each row sums to 1."""
    edges = np.arange(cells + 1) * (pixels / cells)
    left, right = edges[:-1, None], edges[1:, None]
    pixel = np.arange(pixels)
    covered = np.clip(np.minimum(right, pixel + 1) - np.maximum(left, pixel), 0, None)
    return np.asarray(covered * (cells / pixels), np.float32)
