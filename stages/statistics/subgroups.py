"""Scores of films of one kind: small or large, narrow or wide, of one series, of one layout of pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.statistics.bootstrap import FilmSet, RecallDraws, draw_recalls, find_patients
from stages.statistics.scores import Indices
from stages.statistics.summary import summarize

MOST_VALUES = 12  # of one property: more are no subgroups but names
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Answered:
    """Films with what models said of them.

    Attributes:
        patients: (films,) who each film shows.
        labels: (films,) index of each film's class.
        predicted: (models, films) index of the class that each model said.
    """

    patients: Sequence[str]
    labels: Indices
    predicted: Indices


@dataclass(frozen=True, slots=True)
class Property:
    """By what films are told apart.

    Attributes:
        values: what films may have, in the order of a table.
        of_film: (films,) index of each film's value, UNKNOWN where nobody knows it.
    """

    values: Sequence[str]
    of_film: NDArray[np.int64]


def by_value(values: Sequence[str | None]) -> Property:
    """Return films told apart by a text, in alphabetical order."""
    names = sorted({value for value in values if value is not None})
    places = {name: place for place, name in enumerate(names)}
    return Property(names, np.array([UNKNOWN if value is None else places[value] for value in values], np.int64))


def by_third(values: Sequence[float | None], everyone: Sequence[float], write: Callable[[float], str]) -> Property:
    """Return films told apart by the third that a number falls into.

    Args:
        values: (films,) each film's number, None where nobody knows it.
        everyone: the numbers that are parted into thirds, which may be of more films than are scored.
        write: a number as a reader meets it.
    """
    edges = tertile_edges(everyone)
    if edges is None:
        return Property([], np.full(len(values), UNKNOWN))
    low, high = map(write, edges)
    third = [UNKNOWN if value is None else sum(value >= edge for edge in edges) for value in values]
    return Property([f"below {low}", f"{low} to below {high}", f"{high} and above"], np.array(third, np.int64))


def tertile_edges(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the first values of the second third and of the last, or None where no value lies below or between them.

    A value that equals an edge belongs above it, so that equal values stay together, and thirds may differ in size.
    """
    ordered = sorted(values)
    if not ordered:
        return None
    lower, upper = ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]
    return (lower, upper) if ordered[0] < lower < upper else None


def score_subgroups(
    films: Answered, properties: Mapping[str, Property], classes: Sequence[str], *, draws: int, seed: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the scores of the films that share a value, by property and value.

    A property in which the films do not differ, or with more than MOST_VALUES, is left out. Intervals are by
    redrawing patients within their class (`stages/statistics/bootstrap.py`), the shares of the classes in each
    subgroup held fixed.

    Args:
        films: of one split.
        properties: by name.
        classes: names, in the order of the indices.
        draws: how often patients are redrawn.
        seed: decides the draws.
    """
    found = {}
    for name, known in properties.items():
        present = np.unique(known.of_film[known.of_film != UNKNOWN])
        if 1 < len(present) <= MOST_VALUES:
            found[name] = _score(films, known, present, classes, draws=draws, seed=seed)
    return found


def _score(
    films: Answered, known: Property, present: NDArray[np.int64], classes: Sequence[str], *, draws: int, seed: int
) -> dict[str, dict[str, Any]]:
    places = np.flatnonzero(known.of_film != UNKNOWN)
    of_film = np.searchsorted(present, known.of_film[places])
    labels, predicted = films.labels[places], films.predicted[:, places]
    patients = find_patients([films.patients[place] for place in places.tolist()], labels, of_film)
    chosen = [np.flatnonzero(of_film == value) for value in range(len(present))]
    models = len(predicted)
    sets = [
        FilmSet(np.tile(patients.of_film[of], models), np.tile(labels[of], models), predicted[:, of].ravel(), models)
        for of in chosen
    ]
    drawn = draw_recalls(sets, patients, classes=len(classes), draws=draws, seed=seed)
    scored = (_figures(of_value, draw, classes) for of_value, draw in zip(sets, drawn, strict=True))
    return {known.values[value]: figures for value, figures in zip(present.tolist(), scored, strict=True)}


def _figures(films: FilmSet, drawn: RecallDraws, classes: Sequence[str]) -> dict[str, Any]:
    """Return a subgroup's scores, and in place of what was named as what how many films each class has."""
    found = summarize(films, drawn, classes)
    confusion = found.pop("confusion")
    return {**found, "class_films": {name: sum(row.values()) // films.models for name, row in confusion.items()}}
