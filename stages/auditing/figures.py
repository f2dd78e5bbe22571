"""Figures of the usable films by class and by delivered split, in the order of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.rows import DeliveredSplit
from stages.columns import ok_rows, tallied

MOST_CLASSES = 40  # that are told from the rest one by one: a class for each film would take hours, and say nothing
DELIVERED: tuple[DeliveredSplit, ...] = get_args(DeliveredSplit)
UNDELIVERED = "none"  # what figures call the films that came in no split
COLUMNS = (  # that figures are made of
    *("path", "label", "label_index", "group_id", "delivered_split", "width", "height", "mode", "format"),
    *("bits_per_pixel", "jpeg_quality", "crop_lost", "pad_added"),
    *("bits", "jpeg_subsampling", "progressive", "exif_tags", "transfer_syntax", "photometric", "windowing"),
    *("level_5", "level_50", "level_95", "clipped", "marks", "colour", "askew", "distance", "flags"),
    *("border", "border_left", "border_top", "border_right", "border_bottom"),
)


def usable(rows: pa.Table) -> pa.Table:
    """Return what figures are made of, of the usable films."""
    return ok_rows(rows.select((*COLUMNS, "status")))


def by_split(films: pa.Table) -> dict[str, pa.Table]:
    """Return the films of each delivered split that has any."""
    split = pc.fill_null(films.column("delivered_split"), UNDELIVERED)
    found = {name: films.filter(pc.equal(split, name)) for name in (*DELIVERED, UNDELIVERED)}
    return {name: of_split for name, of_split in found.items() if len(of_split)}


def by_class(films: pa.Table, figure: Callable[[pa.Table], Any]) -> dict[str, Any]:
    """Return a figure of the films of each class, in the order of the classes."""
    indices = sorted(tallied(films.column("label_index")))
    of_class = (films.filter(pc.equal(films.column("label_index"), index)) for index in indices)
    return {found.column("label")[0].as_py(): figure(found) for found in of_class}


def nested(films: pa.Table, figure: Callable[[pa.Table], Any]) -> dict[str, Any]:
    """Return a figure of the films of each class, by delivered split."""
    return {split: by_class(of_split, figure) for split, of_split in by_split(films).items()}


def patients_of(films: pa.Table) -> NDArray[np.int64]:
    """Return a number for each film's patient group, the same for films of one group."""
    encoded = films.column("group_id").combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices.to_numpy(), np.int64)


def judged_classes(films: pa.Table) -> dict[str, int]:
    """Return the index of each class that is told from the rest: of many, the MOST_CLASSES with the most films."""
    names = dict(zip(films.column("label").to_pylist(), films.column("label_index").to_pylist(), strict=True))
    tallies = tallied(films.column("label_index"))
    most = sorted(tallies, key=lambda index: (-tallies[index], index))[:MOST_CLASSES]
    return {name: index for name, index in sorted(names.items(), key=lambda one: one[1]) if index in set(most)}


def most_common(column: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each value occurs, the most frequent first."""
    return dict(Counter(tallied(column)).most_common())
