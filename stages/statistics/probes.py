"""Probes: simple models that tell what the data alone gives away, before a network is to blame for anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.statistics.ridge import PENALTIES, CrossValidated, Features, cross_validate, indicators, patient_folds
from stages.statistics.scores import Indices, auc, mean_ranks
from stages.statistics.splits import draw_number

BLOCK = 1024  # films compared at once with all others: 34 MB of distances to 4,140
BINS = 10
NORMAL_95 = 1.959964  # quantile of the normal distribution that an interval of 95 % reaches to

Numbers = NDArray[np.float64]  # (films, columns), NaN where a number is not known


def nearest_neighbour(known: Features, labels: Indices, films: Features) -> NDArray[np.int64]:
    """Return for each film the class of the known film at the least Euclidean distance, the first of equals.

    Distances are |a|^2 - 2 ab, a block of films at a time, so that the work is a matrix product.

    Args:
        known: at least one film.
        labels: their classes.
        films: the films to name, with the same features.
    """
    centre = known.mean(axis=0, dtype=np.float64)
    learned = known - centre  # products of small numbers, so that rounding does not swap neighbours
    lengths = (learned**2).sum(axis=1)
    nearest = [
        np.argmin(lengths - 2 * ((films[start : start + BLOCK] - centre) @ learned.T), axis=1)
        for start in range(0, len(films), BLOCK)
    ]
    found = np.concatenate(nearest) if nearest else np.zeros(0, np.int64)
    return np.asarray(labels, np.int64)[found]


def binned(known: Numbers, numbers: Numbers) -> NDArray[np.float64]:
    """Return in which tenth of the known films' values each number lies: an indicator per tenth, and one for unknown.

    So a linear model can follow any shape, and a film outside the known range is no wilder than the last of it.

    Args:
        known: what the bins are made from, the training films'.
        numbers: what is put into them, with the same columns.
    """
    return np.concatenate([_binned(known[:, place], numbers[:, place]) for place in range(known.shape[1])], axis=1)


def _binned(known: NDArray[np.float64], numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    there = known[~np.isnan(known)]
    edges = np.unique(np.quantile(there, np.arange(1, BINS) / BINS)) if len(there) else np.zeros(0)
    # from the edge upwards is the next bin: a value that most films share gets a bin of its own
    place = np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="right"))
    return np.eye(len(edges) + 2)[place]


@dataclass(frozen=True, slots=True)
class Adversary:
    """How well a ridge tells the test's films of a class from train's, by cross-validation over patients.

    Attributes:
        auc: 1 where every film gives away where it comes from. 0.5 where the two are alike, or somewhat less: without
            the film that is held out, the mean of its side lies a little farther from it.
        low: lower end of the 95 % interval over patients; above 0.5, the two differ.
        high: upper end.
        control: the same for patients of train drawn at random in place of the test's; None where there are too few.
    """

    auc: float
    low: float
    high: float
    control: float | None


def adversary(
    train: Features, train_groups: Sequence[str], test: Features, test_groups: Sequence[str], *, seed: int = 0
) -> Adversary | None:
    """Return how well the test's films of one class are told from train's; None with under two patients on a side.

    The control shows what the same procedure finds where there is nothing to find: as many patients as the test
    has (half of train's at most) are drawn from train, and told from the rest of it by a ridge of the same penalty.
    """
    if min(len(set(train_groups)), len(set(test_groups))) < 2:
        return None
    groups = np.array([*(f"train/{group}" for group in train_groups), *(f"test/{group}" for group in test_groups)])
    is_test = np.arange(len(groups)) >= len(train)
    found = told_apart(np.concatenate([train, test]), is_test, groups, PENALTIES, seed)
    patients = min(len(set(test_groups)), len(set(train_groups)) // 2)
    control = None
    if patients >= 2:
        names = np.array(train_groups)
        drawn = np.isin(names, list(draw_number(set(train_groups), patients, seed=seed, purpose="control")))
        control = auc(told_apart(train, drawn, names, [found.penalty], seed).scores[:, 1], drawn)
    return Adversary(*auc_interval(found.scores[:, 1], is_test, groups), control)


def told_apart(
    features: Features, apart: NDArray[np.bool_], groups: NDArray[np.str_], penalties: Sequence[float], seed: int
) -> CrossValidated:
    """Return what ridges of other patients say of each film: in the second column, how much it is like those apart."""
    side = apart.astype(np.int64)
    fold = patient_folds(groups.tolist(), side, seed=seed)
    return cross_validate(features, indicators(side, classes=2), fold, penalties)


def auc_interval(
    scores: NDArray[np.float64], positives: NDArray[np.bool_], groups: Sequence[str] | NDArray[Any]
) -> tuple[float, float, float]:
    """Return the AUC and the ends of its 95 % interval, films of one group taken for one draw.

    The variance is that of placements (the share of the other side that a film scores above) summed by group, a group
    with films on both sides counting for their covariance too: Obuchowski, Biometrics 53, 1997. It holds the fitted
    model fixed. Where the two sides do not overlap at all it would be zero: see `_where_none_overlaps`.
    """
    found = auc(scores, positives)
    names = np.asarray(groups)
    # numbers serve as they are: to sort a hundred thousand of them takes longer than all else
    of_film = names if np.issubdtype(names.dtype, np.integer) else np.unique(names, return_inverse=True)[1]
    ranks = mean_ranks(scores)
    sums: list[Numbers] = []
    patients: list[int] = []
    for side in (positives, ~positives):
        films = int(side.sum())
        above = (ranks[side] - mean_ranks(scores[side])) / (len(scores) - films)
        sums.append(np.bincount(of_film[side], weights=above - above.mean(), minlength=of_film.max() + 1) / films)
        patients.append(patients_among(of_film[side]))
    if found in (0, 1):
        reach = _where_none_overlaps(*patients)
    else:
        variance = sum(n / max(n - 1, 1) * float((of_side**2).sum()) for n, of_side in zip(patients, sums, strict=True))
        everybody = patients_among(of_film)
        # the share that a negative scores above counts against the AUC: hence the sign
        together = -2 * everybody / max(everybody - 1, 1) * float(sums[0] @ sums[1])
        reach = NORMAL_95 * math.sqrt(max(0.0, variance + together))
    return found, max(0.0, found - reach), min(1.0, found + reach)


def patients_among(of_film: NDArray[np.integer[Any]]) -> int:
    """Return how many patients some films have, each film's given by a number, 0 or more."""
    return int(np.count_nonzero(np.bincount(of_film)))


def _where_none_overlaps(positives: int, negatives: int) -> float:
    """Return how far from 1 an AUC may lie of which no pair of films was seen that tells against 1.

    Newcombe's score interval for the Mann-Whitney statistic (Statistics in Medicine 25, 2006, part 2, method 5),
    taken at an estimate of 1: 1 - A = z^2 A [1 + n (1 - A) / (2 - A) + n A / (1 + A)] / (positives x negatives), with
    n = (positives + negatives) / 2 - 1. Patients are counted, not films.
    """
    number = (positives + negatives) / 2 - 1
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        spread = 1 + number * (1 - middle) / (2 - middle) + number * middle / (1 + middle)
        beyond = 1 - middle > NORMAL_95**2 * middle * spread / (positives * negatives)
        low, high = (middle, high) if beyond else (low, middle)
    return 1 - low
