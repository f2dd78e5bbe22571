"""Intervals of scores, by redrawing patients.

Films of one patient resemble one another, so that films are no independent draws: what is redrawn, with
replacement, is the patient with all films (the cluster bootstrap: Davison and Hinkley, Bootstrap Methods and
their Application, 1997, section 3.8). Patients are redrawn within their class, since the shares of the classes
are a choice of whoever collected the films, and within the sets that they have films in:

- patients of two disjoint sets are drawn independently of each other;
- a patient with films in both (the leak probe's siblings in train) is drawn for both at once, so that a
  difference between the sets is judged with its covariance;
- the same patients are drawn the same way whichever statistic is asked for: parts of a gap add up draw by draw.

A set's accuracy is the sum over classes of share x recall, the shares held fixed; from the recalls of every draw
follow all intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.statistics.scores import Indices

LEVEL = 0.95
CELLS_AT_ONCE = 2**19  # patients x draws in memory at once: 4 MB of each array, which stays in the cache

Weights = NDArray[np.float64]  # (draws, patients), how often each patient was drawn
RecallDraws = NDArray[np.float64]  # (draws, classes)


class Interval(NamedTuple):
    """Where a score lies, as far as the patients at hand can tell."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Stratum:
    """Patients who are redrawn among themselves: of one class, with films in the same sets."""

    label: int
    sets: int  # bit i is up where they have films in set i
    patients: NDArray[np.intp]  # their places among all patients

    def key(self, seed: int) -> int:
        """Return the 128-bit key of the stratum's random numbers: the same whatever else is drawn."""
        assert 0 <= seed < 2**64
        return seed | self.label << 64 | self.sets << 96


@dataclass(frozen=True, slots=True)
class Patients:
    """Whose films they are; a patient counts once per class.

    Attributes:
        of_film: (films,) index of each film's patient.
        strata: every patient, each in one stratum.
    """

    of_film: NDArray[np.intp]
    strata: tuple[Stratum, ...]

    @property
    def count(self) -> int:
        """How many patients there are."""
        return sum(len(stratum.patients) for stratum in self.strata)


@dataclass(frozen=True, slots=True)
class FilmSet:
    """Films that are scored together.

    Attributes:
        patients: (films,) index of each film's patient, as `Patients.of_film` has it.
        labels: (films,) index of each film's class.
        predicted: (films,) index of the class that was said.
        models: how many models judged each film: every film stands once for each, so that scores are means over them.
    """

    patients: NDArray[np.intp]
    labels: Indices
    predicted: Indices
    models: int = 1

    @property
    def count(self) -> int:
        """How many films there are."""
        return len(self.labels) // self.models


def find_patients(groups: Sequence[str], labels: Indices, sets: Indices | None = None) -> Patients:
    """Return who the films' patients are and who is redrawn with whom.

    Args:
        groups: each film's patient group.
        labels: each film's class; a group with films of two classes is a patient of either.
        sets: each film's set, a number from 0 to 62, as each has a bit of 64; one set where left out.
    """
    label_of_film = np.asarray(labels, np.int64)
    set_of_film = np.zeros(len(groups), np.int64) if sets is None else np.asarray(sets, np.int64)
    names, group_of_film = np.unique(np.asarray(groups, np.str_), return_inverse=True)
    pairs, of_film = np.unique(label_of_film * max(len(names), 1) + group_of_film, return_inverse=True)
    label_of_patient = pairs // max(len(names), 1)
    sets_of_patient = np.zeros(len(pairs), np.int64)
    np.bitwise_or.at(sets_of_patient, of_film, np.left_shift(1, set_of_film))
    keys = np.stack([label_of_patient, sets_of_patient], axis=1)
    strata = tuple(
        Stratum(int(label), int(bits), np.flatnonzero((label_of_patient == label) & (sets_of_patient == bits)))
        for label, bits in np.unique(keys, axis=0)
    )
    return Patients(of_film=of_film.astype(np.intp), strata=strata)


def draw_weights(patients: int, *, draws: int, key: int) -> Iterator[Weights]:
    """Yield, some draws at a time, how often each patient falls into a draw of as many as there are.

    The numbers come from the raw words of Philox, which NumPy promises to keep, unlike those of its generators:
    the upper half of a word, scaled to the patients, favours none of a million by more than 1 in 4,000.

    Args:
        patients: how many there are, at least 1.
        draws: how many draws to make in all.
        key: 128 bits that the draws are a function of.
    """
    words = np.random.Philox(key=key)
    at_once = max(1, CELLS_AT_ONCE // patients)
    for start in range(0, draws, at_once):
        now = min(at_once, draws - start)
        upper = words.random_raw(now * patients) >> np.uint64(32)
        drawn = ((upper * np.uint64(patients)) >> np.uint64(32)).astype(np.int64).reshape(now, patients)
        drawn += np.arange(now)[:, None] * patients
        yield np.bincount(drawn.ravel(), minlength=now * patients).reshape(now, patients).astype(np.float64)


def draw_recalls(
    sets: Sequence[FilmSet], patients: Patients, *, classes: int, draws: int, seed: int
) -> list[RecallDraws]:
    """Return for each set the recall of each class in every draw, 0 where the set has no film of the class.

    One draw is the same patients for all sets, so that differences between sets are taken draw by draw.
    """
    totals = np.concatenate([_per_patient(films, patients.count) for films in sets], axis=1)
    sums = np.zeros((draws, classes, totals.shape[1]))
    for stratum in patients.strata:
        of_stratum = totals[stratum.patients]
        start = 0
        for weights in draw_weights(len(stratum.patients), draws=draws, key=stratum.key(seed)):
            sums[start : start + len(weights), stratum.label] += weights @ of_stratum
            start += len(weights)
    found, films_drawn = sums[:, :, 0::2], sums[:, :, 1::2]
    # a class with films keeps some in every draw: each stratum is redrawn to its size, from patients of that set
    recalls = found / np.maximum(films_drawn, 1)
    return [recalls[:, :, index] for index in range(len(sets))]


def _per_patient(films: FilmSet, count: int) -> NDArray[np.float64]:
    """Return (patients, 2): how many of a patient's films were named rightly, and how many there are."""
    right = np.bincount(films.patients, weights=films.labels == films.predicted, minlength=count)
    return np.stack([right, np.bincount(films.patients, minlength=count)], axis=1)


def interval(draws: NDArray[np.float64], *, level: float = LEVEL) -> Interval:
    """Return the percentile interval that holds the middle `level` of a statistic's draws."""
    low, high = intervals(draws, level=level)
    return Interval(float(low), float(high))


def intervals(draws: NDArray[np.float64], *, level: float = LEVEL) -> NDArray[np.float64]:
    """Return the percentile intervals of many statistics, (2, ...), of their draws, (draws, ...)."""
    tail = (1 - level) / 2
    return np.asarray(np.quantile(draws, [tail, 1 - tail], axis=0), np.float64)
