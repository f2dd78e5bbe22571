"""The augmented manifest's schema: its row, and a column for every number that can be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from manifests.columns import Schema
from manifests.fields import drawn_fields
from manifests.rows import AugmentedRow
from stages.films.operations import DRAWN

AUGMENTED = Schema(AugmentedRow, version=2, drawn=drawn_fields(DRAWN))


def drawn_column(of_films: Sequence[NDArray[Any]]) -> pa.Array:
    """Return a drawn number's column: null for each film's original, then what was drawn for its copies.

    Args:
        of_films: the number as it was drawn for each film, shape (copies,).
    """
    drawn = np.stack(of_films)
    values = np.insert(drawn, 0, 0, axis=1)
    original = np.zeros(values.shape, np.bool_)
    original[:, 0] = True
    return pa.array(values.ravel(), mask=original.ravel())
