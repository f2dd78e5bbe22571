"""What a file alone says of its film, before a pixel is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.columns import numbers

GREY = ("L", "LA", "La", "1", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")  # modes


def number(name: str, films: pa.Table) -> NDArray[np.float64]:
    """Return the numbers of a column, NaN where there is none."""
    return numbers(films.column(name))


def aspect(films: pa.Table) -> NDArray[np.float64]:
    """Return width / height."""
    return number("width", films) / number("height", films)


def _colour(films: pa.Table) -> NDArray[np.float64]:
    return numbers(pc.invert(pc.is_in(films.column("mode"), value_set=pa.array(GREY))))


# By their names; NaN where a file does not say it. Bits stand for bytes per pixel: a factor of 8 moves neither an AUC
# nor the tenth that a film falls into.
FILE_FEATURES: Mapping[str, Callable[[pa.Table], NDArray[np.float64]]] = {
    "bytes per pixel": partial(number, "bits_per_pixel"),
    "width": partial(number, "width"),
    "height": partial(number, "height"),
    "aspect": aspect,
    "jpeg quality": partial(number, "jpeg_quality"),
    "colour": _colour,
}
