"""What there is: films and patients, sizes, formats, layouts and compression."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.auditing.features import aspect, number
from stages.auditing.figures import by_class, most_common, nested
from stages.columns import tallied

SHARES = {"min": 0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1}
BINS = 24  # of a histogram
LEAST_REACH = 0.01  # of a histogram, in powers of two
PLOTTED = 3000  # a page with a mark for each of 50,000 films takes megabytes and seconds to open

Values = Callable[[pa.Table], NDArray[np.float64]]  # of each film


def _pixels(films: pa.Table) -> NDArray[np.float64]:
    return number("width", films) * number("height", films)


_bits_per_pixel: Values = partial(number, "bits_per_pixel")
EXTREMES: Mapping[str, tuple[Values, int]] = {  # by what a film is, the number that tells it: 1 the most, -1 the least
    "narrowest": (aspect, -1),
    "widest": (aspect, 1),
    "smallest": (_pixels, -1),
    "largest": (_pixels, 1),
    "most compressed": (_bits_per_pixel, -1),
    "least compressed": (_bits_per_pixel, 1),
}


def census(films: pa.Table) -> dict[str, Any]:
    """Return the figures of the usable films as they were delivered."""
    return {
        "by_class": nested(films, _films_and_patients),
        "sizes": by_class(films, _sizes),
        "spreads": {
            "bits_per_pixel": nested(films, lambda some: _spread(_bits_per_pixel(some))),
            "aspect": nested(films, lambda some: _spread(aspect(some))),
        },
        "histograms": {
            "bits_per_pixel": _histogram(films, _bits_per_pixel),
            "aspect": _histogram(films, aspect),
        },
        "quality_counts": nested(films, lambda some: _counts(some.column("jpeg_quality"))),
        "extremes": by_class(films, _extremes),
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


def sizes_to_plot(films: pa.Table) -> list[dict[str, Any]]:
    """Return width, height and class of the usable films; of many, some PLOTTED evenly spaced ones."""
    films = films.select(["width", "height", "label"])
    every = math.ceil(len(films) / PLOTTED) or 1
    plotted: list[dict[str, Any]] = films.take(np.arange(0, len(films), every)).to_pylist()
    return plotted


def _kinds(films: pa.Table, name: str) -> dict[str, dict[str, int]]:
    """Return how many films of each class hold each value of a column; a class that holds none is left out."""
    found = by_class(films, lambda of_class: most_common(of_class.column(name)))
    return {label: {str(value): n for value, n in kinds.items()} for label, kinds in found.items() if kinds}


def _how_many(holds: pa.ChunkedArray) -> int:
    """Return how many are true; what is null is not."""
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


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    """Return the quantiles of the values that are known; nothing where none is."""
    known = values[~np.isnan(values)]
    if not len(known):
        return {}
    return dict(zip(SHARES, np.quantile(known, list(SHARES.values())).round(4).tolist(), strict=True))


def _histogram(films: pa.Table, values: Values) -> dict[str, Any]:
    """Return how many films of each split and class lie in each bin, bins of equal ratios over all films."""
    of_all = np.log2(values(films))
    known = of_all[np.isfinite(of_all)]
    if not len(known):
        return {}
    low, high = float(known.min()), float(known.max())
    if high - low < LEAST_REACH:  # films that are all alike, but for rounding
        low, high = low - LEAST_REACH, high + LEAST_REACH
    edges = np.linspace(low, high, BINS + 1)
    counts = nested(films, lambda some: np.histogram(np.log2(values(some)), edges)[0].tolist())
    return {"edges": (2.0**edges).round(6).tolist(), "counts": counts}


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each value occurs, in the order of the values."""
    return {str(value): films for value, films in sorted(tallied(column).items())}


def _extremes(films: pa.Table) -> dict[str, dict[str, Any]]:
    """Return the film at each end of size, aspect and compression; of several, the first by path."""
    found: dict[str, dict[str, Any]] = {}
    for name, (values, side) in EXTREMES.items():
        of_film = side * values(films)
        if np.isnan(of_film).all():
            continue
        ends = films.take(np.flatnonzero(of_film == np.nanmax(of_film)))
        first = ends.take(pc.sort_indices(ends.column("path")).slice(0, 1))
        told = first.select(["path", "delivered_split", "width", "height", "bits_per_pixel"]).to_pylist()[0]
        bits = told["bits_per_pixel"]
        found[name] = {**told, "bits_per_pixel": None if bits is None else round(bits, 4)}
    return found


def _quality(films: pa.Table) -> dict[str, float]:
    found = films.column("jpeg_quality").drop_null().to_pylist()
    return {"median": median(found), "min": min(found), "max": max(found)} if found else {}
