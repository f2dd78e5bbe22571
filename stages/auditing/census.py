"""What there is: films and patients, sizes, formats, layouts and compression."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.auditing.features import aspect
from stages.auditing.figures import by_class, most_common, nested, usable

PLOTTED = 3000  # a page with a mark for each of 50,000 films takes megabytes and seconds to open


def census(films: pa.Table) -> dict[str, Any]:
    """Return the figures of the usable films as they were delivered."""
    return {
        "by_class": nested(films, _films_and_patients),
        "sizes": by_class(films, _sizes),
        "modes": by_class(films, lambda of_class: most_common(of_class.column("mode"))),
        "formats": most_common(films.column("format")),
        "jpeg_quality": by_class(films, _quality),
        "bits": _kinds(films, "bits"),
        "jpeg_subsampling": _kinds(films, "jpeg_subsampling"),
        "progressive": by_class(films, lambda of_class: _how_many(of_class.column("progressive"))),
        "exif": by_class(films, lambda of_class: _how_many(pc.greater(of_class.column("exif_tags"), 0))),
        "transfer_syntaxes": _kinds(films, "transfer_syntax"),
        "photometric": _kinds(films, "photometric"),
        "windowing": _kinds(films, "windowing"),
    }


def sizes_to_plot(rows: pa.Table) -> list[dict[str, Any]]:
    """Return width, height and class of the usable films; of many, some PLOTTED evenly spaced ones."""
    films = usable(rows).select(["width", "height", "label"])
    every = math.ceil(len(films) / PLOTTED) or 1
    plotted: list[dict[str, Any]] = films.take(np.arange(0, len(films), every)).to_pylist()
    return plotted


def _kinds(films: pa.Table, name: str) -> dict[str, dict[str, int]]:
    """Return how many films of each class hold each value of a column; a class that holds none is left out."""
    found = by_class(films, lambda of_class: most_common(of_class.column(name)))
    return {label: {str(value): n for value, n in kinds.items()} for label, kinds in found.items() if kinds}


def _how_many(holds: pa.ChunkedArray) -> int:
    return pc.sum(holds).as_py() or 0


def _films_and_patients(films: pa.Table) -> dict[str, int]:
    return {"films": len(films), "patients": pc.count_distinct(films.column("group_id")).as_py()}


def _sizes(films: pa.Table) -> dict[str, float]:
    widths, heights = (films.column(name).to_pylist() for name in ("width", "height"))
    return {
        "width_median": median(widths),
        "height_median": median(heights),
        "width_min": min(widths),
        "width_max": max(widths),
        "height_min": min(heights),
        "height_max": max(heights),
        "aspect_median": round(median(aspect(films).tolist()), 4),
    }


def _quality(films: pa.Table) -> dict[str, float]:
    found = films.column("jpeg_quality").drop_null().to_pylist()
    return {"median": median(found), "min": min(found), "max": max(found)} if found else {}
