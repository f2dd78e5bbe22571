"""The audit's figures: what the rows say as a whole, by class and by delivered split."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import mean, median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.columns import numbers, ok_rows, set_aside, tallied, where_ok
from stages.films.frame import Frame
from stages.statistics.scores import auc

UNDELIVERED = "none"  # the name of the films that came in no split
EXAMPLES = 200
PLOTTED = 3000  # a page with a mark for each of 50,000 films takes megabytes and seconds to open
GREY = ("L", "1", "I;16")  # modes
FIGURES = (  # columns that figures are made of
    *("label", "label_index", "group_id", "delivered_split", "width", "height", "mode", "format"),
    *("bits_per_pixel", "jpeg_quality", "crop_lost", "pad_added"),
)


def _number(name: str, films: pa.Table) -> NDArray[np.float64]:
    return numbers(films.column(name))


def _aspect(films: pa.Table) -> NDArray[np.float64]:
    return _number("width", films) / _number("height", films)


def _colour(films: pa.Table) -> NDArray[np.float64]:
    return numbers(pc.invert(pc.is_in(films.column("mode"), value_set=pa.array(GREY))))


# What the file alone says of films, before a pixel is looked at; NaN where it does not say it.
FILE_FEATURES: Mapping[str, Callable[[pa.Table], NDArray[np.float64]]] = {
    "bytes per pixel": partial(_number, "bits_per_pixel"),
    "width": partial(_number, "width"),
    "height": partial(_number, "height"),
    "aspect": _aspect,
    "jpeg quality": partial(_number, "jpeg_quality"),
    "colour": _colour,
}


def summarize(rows: pa.Table, facts: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
    """Return the summary that `reports/audit.json` holds and the page shows: numbers and short texts only."""
    usable = _usable(rows)
    return {
        **facts,
        "frame": {"height": frame.height, "width": frame.width},
        "files": len(rows),
        "usable": len(usable),
        "set_aside": set_aside(rows.column("status")),
        "warnings": _warnings(rows),
        "by_class": _nested(usable, _films_and_patients),
        "groups": _groups(usable),
        "sizes": _by_class(usable, _sizes),
        "modes": _by_class(usable, lambda films: _most_common(films.column("mode"))),
        "formats": _most_common(usable.column("format")),
        "jpeg_quality": _by_class(usable, _quality),
        "crop": _nested(usable, _crop),
        "shortcuts": _shortcuts(usable, facts["classes"]),
        "duplicates": _duplicates(rows, facts),
        "set_aside_films": _examples(rows.select(["path", "status", "reason"]), pc.invert(where_ok(rows))),
    }


def sizes_to_plot(rows: pa.Table) -> list[dict[str, Any]]:
    """Return width, height and class of the usable films; of many, some PLOTTED evenly spaced ones."""
    usable = _usable(rows).select(["width", "height", "label"])
    every = math.ceil(len(usable) / PLOTTED) or 1
    plotted: list[dict[str, Any]] = usable.take(np.arange(0, len(usable), every)).to_pylist()
    return plotted


def lines(rows: pa.Table, facts: Mapping[str, Any]) -> list[str]:
    """Return what the terminal should say beyond the counts."""
    text = [f"labels from {facts['label_source_reason']}", f"patients: {facts['group_source']}"]
    for split, films in _by_split(_usable(rows)).items():
        shown = Counter(tallied(films.column("label")))
        by_class = ", ".join(f"{shown[name]:,} {name}" for name in facts["classes"])
        patients = pc.count_distinct(films.column("group_id")).as_py()
        where = "in no delivered split" if split == UNDELIVERED else f"delivered as {split}"
        text.append(f"{len(films):,} films of {patients:,} patients {where}: {by_class}")
    text += [f"{n:,} films: {warning}" for warning, n in _warnings(rows).items()]
    near = len(rows) - rows.column("near_duplicate_of").null_count
    if near:
        text.append(f"{near:,} films are near duplicates (correlation at least {facts['near_threshold']:.4f})")
    return text


def _usable(rows: pa.Table) -> pa.Table:
    """Return what figures are made of, of the usable films."""
    return ok_rows(rows.select((*FIGURES, "status")))


def _by_split(films: pa.Table) -> dict[str, pa.Table]:
    split = pc.fill_null(films.column("delivered_split"), UNDELIVERED)
    found = {name: films.filter(pc.equal(split, name)) for name in ("train", "val", "test", UNDELIVERED)}
    return {name: of_split for name, of_split in found.items() if len(of_split)}


def _by_class(films: pa.Table, figure: Callable[[pa.Table], Any]) -> dict[str, Any]:
    """Return a figure of the films of each class, in the order of the classes."""
    indices = sorted(tallied(films.column("label_index")))
    of_class = (films.filter(pc.equal(films.column("label_index"), index)) for index in indices)
    return {found.column("label")[0].as_py(): figure(found) for found in of_class}


def _nested(films: pa.Table, figure: Callable[[pa.Table], Any]) -> dict[str, Any]:
    return {split: _by_class(of_split, figure) for split, of_split in _by_split(films).items()}


def _most_common(column: pa.ChunkedArray) -> dict[str, int]:
    return dict(Counter(tallied(column)).most_common())


def _films_and_patients(films: pa.Table) -> dict[str, int]:
    return {"films": len(films), "patients": pc.count_distinct(films.column("group_id")).as_py()}


def _groups(films: pa.Table) -> dict[str, Any]:
    group, in_test = films.column("group_id"), pc.equal(pc.fill_null(films.column("delivered_split"), ""), "test")
    counted = pc.value_counts(group)
    largest = int(np.argmax(counted.field("counts"))) if len(counted) else None
    tested, pooled = (pc.unique(group.filter(one)) for one in (in_test, pc.invert(in_test)))
    return {
        "count": len(counted),
        "largest": 0 if largest is None else counted[largest]["counts"].as_py(),
        "largest_id": "" if largest is None else counted[largest]["values"].as_py(),
        "crossing_delivered_splits": pc.sum(pc.is_in(tested, value_set=pooled)).as_py() or 0,
    }


def _sizes(films: pa.Table) -> dict[str, float]:
    widths, heights = (films.column(name).to_pylist() for name in ("width", "height"))
    return {
        "width_median": median(widths),
        "height_median": median(heights),
        "width_min": min(widths),
        "width_max": max(widths),
        "height_min": min(heights),
        "height_max": max(heights),
        "aspect_median": round(median(_aspect(films).tolist()), 4),
    }


def _quality(films: pa.Table) -> dict[str, float]:
    found = films.column("jpeg_quality").drop_null().to_pylist()
    return {"median": median(found), "min": min(found), "max": max(found)} if found else {}


def _crop(films: pa.Table) -> dict[str, float]:
    lost, padded = ([share or 0 for share in films.column(name).to_pylist()] for name in ("crop_lost", "pad_added"))
    return {
        "lost_mean": round(mean(lost), 4),
        "padded_share": round(mean(map(bool, padded)), 4),
        "pad_mean": round(mean(padded), 4),
    }


def _shortcuts(films: pa.Table, classes: Sequence[str]) -> dict[str, Any]:
    """Return how well each feature of the file alone tells each class from the rest, as AUC, by split."""
    return {split: _shortcuts_of(of_split, classes) for split, of_split in _by_split(films).items()}


def _shortcuts_of(films: pa.Table, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    index = films.column("label_index").to_numpy()
    for feature, values in FILE_FEATURES.items():
        told = values(films)
        known = ~np.isnan(told)
        of_class = {name: index[known] == at for at, name in enumerate(classes)}
        some = {name: positive for name, positive in of_class.items() if positive.any()}
        if len(some) > 1:
            found[feature] = {name: round(auc(told[known], positive), 4) for name, positive in some.items()}
    return found


def _duplicates(rows: pa.Table, facts: Mapping[str, Any]) -> dict[str, Any]:
    exact, near = rows.column("exact_duplicate_of"), rows.column("near_duplicate_of")
    shown = rows.select(["path"]).append_column("of", pc.coalesce(exact, near))
    examples = [*_examples(shown, pc.is_valid(exact)), *_examples(shown, pc.is_valid(near))]
    return {
        "exact": len(exact) - exact.null_count,
        "near": len(near) - near.null_count,
        "near_threshold": facts["near_threshold"],
        "examples": examples[:EXAMPLES],
    }


def _examples(rows: pa.Table, which: pa.ChunkedArray) -> list[dict[str, Any]]:
    examples: list[dict[str, Any]] = rows.take(np.flatnonzero(which)[:EXAMPLES]).to_pylist()
    return examples


def _warnings(rows: pa.Table) -> dict[str, int]:
    """Return how many films have each kind of warning; the part after a colon is a film's own."""
    found: Counter[str] = Counter()
    for warning, films in tallied(rows.column("warning")).items():
        for text in warning.split("; "):
            found[text.split(":")[0]] += films
    return dict(found.most_common())
