"""The audit's figures: what the rows say as a whole, by class and by delivered split."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean, median
from typing import Any

from manifests.rows import AuditedRow
from stages.contract import counts
from stages.films.frame import Frame
from stages.statistics.scores import auc
from stages.statistics.splits import gathered

UNDELIVERED = "none"  # the name of the films that came in no split
EXAMPLES = 200
PLOTTED = 3000  # a page with a mark for each of 50,000 films takes megabytes and seconds to open


def _aspect(row: AuditedRow) -> float:
    return float(row.width or 0) / float(row.height or 1)


# What the file alone says of a film, before a pixel is looked at.
FILE_FEATURES: Mapping[str, Callable[[AuditedRow], float | None]] = {
    "bytes per pixel": lambda row: row.bits_per_pixel,
    "width": lambda row: row.width,
    "height": lambda row: row.height,
    "aspect": _aspect,
    "jpeg quality": lambda row: row.jpeg_quality,
    "colour": lambda row: float(row.mode not in ("L", "1", "I;16")),
}


def summarize(rows: Sequence[AuditedRow], facts: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
    """Return the summary that `reports/audit.json` holds and the page shows: numbers and short texts only."""
    usable = [row for row in rows if row.status == "ok"]
    return {
        **facts,
        "frame": {"height": frame.height, "width": frame.width},
        "files": len(rows),
        "usable": len(usable),
        "set_aside": counts(row.status for row in rows),
        "warnings": _warnings(rows),
        "by_class": _nested(usable, _films_and_patients),
        "groups": _groups(usable),
        "sizes": _by_class(usable, _sizes),
        "modes": _by_class(usable, lambda films: dict(Counter(str(row.mode) for row in films).most_common())),
        "formats": dict(Counter(str(row.format) for row in usable).most_common()),
        "jpeg_quality": _by_class(usable, _quality),
        "crop": _nested(usable, _crop),
        "shortcuts": _shortcuts(usable, facts["classes"]),
        "duplicates": _duplicates(rows, facts),
        "set_aside_films": [
            {"path": row.path, "status": row.status, "reason": row.reason} for row in rows if row.status != "ok"
        ][:EXAMPLES],
    }


def sizes_to_plot(rows: Iterable[AuditedRow]) -> list[dict[str, Any]]:
    """Return width, height and class of the usable films; of many, some PLOTTED evenly spaced ones."""
    usable = [row for row in rows if row.status == "ok"]
    every = math.ceil(len(usable) / PLOTTED) or 1
    return [{"width": row.width, "height": row.height, "label": row.label} for row in usable[::every]]


def lines(rows: Sequence[AuditedRow], facts: Mapping[str, Any]) -> list[str]:
    """Return what the terminal should say beyond the counts."""
    usable = [row for row in rows if row.status == "ok"]
    text = [f"labels from {facts['label_source_reason']}", f"patients: {facts['group_source']}"]
    for split, of_split in _by_split(usable).items():
        shown = Counter(str(row.label) for row in of_split)
        by_class = ", ".join(f"{shown[name]:,} {name}" for name in facts["classes"])
        patients = len({row.group_id for row in of_split})
        where = "in no delivered split" if split == UNDELIVERED else f"delivered as {split}"
        text.append(f"{len(of_split):,} films of {patients:,} patients {where}: {by_class}")
    text += [f"{n:,} films: {warning}" for warning, n in _warnings(rows).items()]
    near = sum(row.near_duplicate_of is not None for row in rows)
    if near:
        text.append(f"{near:,} films are near duplicates (correlation at least {facts['near_threshold']:.4f})")
    return text


def _by_split(rows: Sequence[AuditedRow]) -> dict[str, list[AuditedRow]]:
    found = gathered([row.delivered_split or UNDELIVERED for row in rows], rows)
    return {name: found[name] for name in ("train", "val", "test", UNDELIVERED) if name in found}


def _by_class(rows: Sequence[AuditedRow], figure: Callable[[list[AuditedRow]], Any]) -> dict[str, Any]:
    of_class = gathered([str(row.label) for row in rows], rows)
    return {name: figure(films) for name, films in sorted(of_class.items(), key=lambda item: _index(item[1]))}


def _index(films: Sequence[AuditedRow]) -> int:
    return films[0].label_index or 0


def _nested(rows: Sequence[AuditedRow], figure: Callable[[list[AuditedRow]], Any]) -> dict[str, Any]:
    return {split: _by_class(films, figure) for split, films in _by_split(rows).items()}


def _films_and_patients(films: Sequence[AuditedRow]) -> dict[str, int]:
    return {"films": len(films), "patients": len({row.group_id for row in films})}


def _groups(rows: Sequence[AuditedRow]) -> dict[str, Any]:
    sizes = Counter(str(row.group_id) for row in rows)
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(str(row.group_id), set()).add("test" if row.delivered_split == "test" else "pool")
    largest, films = sizes.most_common(1)[0] if sizes else ("", 0)
    return {
        "count": len(sizes),
        "largest": films,
        "largest_id": largest,
        "crossing_delivered_splits": sum(len(found) > 1 for found in splits.values()),
    }


def _sizes(films: Sequence[AuditedRow]) -> dict[str, float]:
    widths, heights = [row.width or 0 for row in films], [row.height or 0 for row in films]
    return {
        "width_median": median(widths),
        "height_median": median(heights),
        "width_min": min(widths),
        "width_max": max(widths),
        "height_min": min(heights),
        "height_max": max(heights),
        "aspect_median": round(median(_aspect(row) for row in films), 4),
    }


def _quality(films: Sequence[AuditedRow]) -> dict[str, float]:
    found = [row.jpeg_quality for row in films if row.jpeg_quality is not None]
    return {"median": median(found), "min": min(found), "max": max(found)} if found else {}


def _crop(films: Sequence[AuditedRow]) -> dict[str, float]:
    return {
        "lost_mean": round(mean(row.crop_lost or 0 for row in films), 4),
        "padded_share": round(mean(bool(row.pad_added) for row in films), 4),
        "pad_mean": round(mean(row.pad_added or 0 for row in films), 4),
    }


def _shortcuts(rows: Sequence[AuditedRow], classes: Sequence[str]) -> dict[str, Any]:
    """Return how well each feature of the file alone tells each class from the rest, as AUC, by split."""
    return {split: _shortcuts_of(films, classes) for split, films in _by_split(rows).items()}


def _shortcuts_of(films: Sequence[AuditedRow], classes: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for feature, value in FILE_FEATURES.items():
        known = [(number, row.label) for row in films if (number := value(row)) is not None]
        labels = {label for _, label in known}
        if len(labels) > 1:
            numbers = [number for number, _ in known]
            found[feature] = {
                name: round(auc(numbers, [label == name for _, label in known]), 4)
                for name in classes
                if name in labels
            }
    return found


def _duplicates(rows: Sequence[AuditedRow], facts: Mapping[str, Any]) -> dict[str, Any]:
    exact = [row for row in rows if row.exact_duplicate_of]
    near = [row for row in rows if row.near_duplicate_of]
    return {
        "exact": len(exact),
        "near": len(near),
        "near_threshold": facts["near_threshold"],
        "examples": [
            {"path": row.path, "of": row.exact_duplicate_of or row.near_duplicate_of} for row in [*exact, *near]
        ][:EXAMPLES],
    }


def _warnings(rows: Iterable[AuditedRow]) -> dict[str, int]:
    """Return how many films have each kind of warning; the part after a colon is a film's own."""
    texts = (text for row in rows if row.warning for text in row.warning.split("; "))
    return dict(Counter(text.split(":")[0] for text in texts).most_common())
