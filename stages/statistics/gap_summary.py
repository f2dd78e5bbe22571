"""What a report says of the gap: its parts with intervals, in total and per class, as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.statistics import scores
from stages.statistics.bootstrap import FilmSet, RecallDraws, intervals
from stages.statistics.gap import (
    AUGMENTED,
    FORWARD,
    JOINT,
    LEAK_PROBE,
    REVERSED,
    TEST,
    TRAIN,
    VAL,
    Parts,
    Recalls,
    Shares,
    Way,
    accuracies,
    common_classes,
    shares_among,
    take_apart,
)

WANTED = (AUGMENTED, TRAIN, LEAK_PROBE, VAL, TEST)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a gap is told from; of several models, the means of their recalls.

    Attributes:
        films: of each class in each set, (classes,).
        recalls: of each class in each set, (classes,), any number where there is no film.
        drawn: the same in every draw, (draws, classes), one draw for all sets.
    """

    films: Mapping[str, NDArray[np.int64]]
    recalls: Mapping[str, Recalls]
    drawn: Mapping[str, RecallDraws]


def judged(sets: Mapping[str, FilmSet], drawn: Mapping[str, RecallDraws], *, classes: int) -> Judged:
    """Return what the gap of some sets is told from."""
    tables = {name: scores.confusion(films.labels, films.predicted, classes=classes) for name, films in sets.items()}
    counts = {name: table.sum(axis=1) for name, table in tables.items()}
    recalls = {name: np.diagonal(table) / np.maximum(counts[name], 1) for name, table in tables.items()}
    return Judged({name: counts[name] // films.models for name, films in sets.items()}, recalls, drawn)


def summarize_gap(found: Judged, classes: Sequence[str]) -> dict[str, Any]:
    """Return the total, the parts that it is the sum of, and what could not be told.

    Args:
        found: the sets that were judged, `train` among them; the test split only along with `test_refitted`.
        classes: names, in the order of the indices.

    Returns:
        `total` and each of `parts` with the classes' losses of `recall` and their `contribution`; `accuracies` at
        every step; the `shares` at which they stand; `left_out`: each class that is not counted, with the sets that
        have no film of it; `missing` sets; `joint` parts, that cannot be told apart; parts that are `not_given`; and
        in `reverse` the prior and the shift in the other order. Where no class has films in every set, there is
        nothing but `left_out` and `missing`: total is None.
    """
    kept = common_classes(found.films)
    told: dict[str, Any] = {
        "classes": [name for name, counts in zip(classes, kept, strict=True) if counts],
        "left_out": _left_out(found, classes, kept),
        "missing": [name for name in WANTED if name not in found.films],
    }
    way = FORWARD.among(found.films)
    if not kept.any() or not way.parts:
        nothing: dict[str, Any] = {"total": None, "parts": {}, "reverse": {}, "accuracies": [], "shares": {}}
        return {**told, **nothing, "joint": [], "not_given": list(FORWARD.parts)}
    shares = {name: shares_among(found.films[name], kept) for name in (TRAIN, TEST) if name in found.films}
    names = {index: classes[index] for index in np.flatnonzero(kept).tolist()}
    forward, drawn = take_apart(way, found.recalls, shares), take_apart(way, found.drawn, shares)
    return {
        **told,
        "total": _figures(forward.total, drawn.total, ["total"], names)["total"],
        "parts": _figures(forward, drawn, way.parts, names),
        "reverse": _reverse(found, shares, names),
        "accuracies": _accuracies(way, found, shares),
        "shares": {name: {names[index]: float(of_set[index]) for index in names} for name, of_set in shares.items()},
        "joint": [part.split(JOINT) for part in way.parts if JOINT in part],
        "not_given": list(FORWARD.not_given(found.films)),
    }


def _left_out(found: Judged, classes: Sequence[str], kept: NDArray[np.bool_]) -> dict[str, list[str]]:
    """Return each class that is not counted, with the sets that lack it; a class of no film at all is no loss."""
    known = np.sum(list(found.films.values()), axis=0) > 0
    return {
        classes[index]: [name for name in WANTED if name in found.films and not found.films[name][index]]
        for index in np.flatnonzero(known & ~kept).tolist()
    }


def _figures(value: Parts, drawn: Parts, parts: Sequence[str], names: Mapping[int, str]) -> dict[str, Any]:
    """Return each part's value and interval, in accuracy and class by class."""
    of_accuracy = zip(value.accuracy, *intervals(drawn.accuracy), strict=True)
    recall, contribution = intervals(drawn.recall), intervals(drawn.contribution)
    return {
        part: {
            **_figure(*of_part),
            "recall": {name: _figure(value.recall[at, index], *recall[:, at, index]) for index, name in names.items()},
            "contribution": {
                name: _figure(value.contribution[at, index], *contribution[:, at, index])
                for index, name in names.items()
            },
        }
        for at, (part, of_part) in enumerate(zip(parts, of_accuracy, strict=True))
    }


def _figure(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": float(value), "low": float(low), "high": float(high)}


def _reverse(found: Judged, shares: Mapping[str, Shares], names: Mapping[int, str]) -> dict[str, Any]:
    """Return the prior and the shift, alone or joined with others, where the shift is taken first."""
    way = REVERSED.among(found.films)
    figures = _figures(take_apart(way, found.recalls, shares), take_apart(way, found.drawn, shares), way.parts, names)
    return {part: figure for part, figure in figures.items() if {"prior", "shift"} & set(part.split(JOINT))}


def _accuracies(way: Way, found: Judged, shares: Mapping[str, Shares]) -> list[dict[str, Any]]:
    """Return the accuracy at every step of the way."""
    bounds = intervals(accuracies(way, found.drawn, shares))
    values = accuracies(way, found.recalls, shares)
    return [
        {"films": step.films, "shares": step.shares, **_figure(value, low, high)}
        for step, value, low, high in zip(way.steps, values, *bounds, strict=True)
    ]
