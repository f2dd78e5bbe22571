"""Scores of predictions. A class without films has no recall: it is None, and means leave it out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices: TypeAlias = NDArray[np.integer[Any]]  # (films,), an index of a class each
Confusion: TypeAlias = NDArray[np.int64]  # (classes, classes), rows are the truth, columns what was said


def confusion(labels: Indices, predicted: Indices, *, classes: int) -> Confusion:
    """Return how many films of each class (row) were given each class (column)."""
    assert len(labels) == len(predicted)
    cells = np.asarray(labels, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def accuracy(table: Confusion) -> float | None:
    """Return the share of films that were given their own class, or None where there is no film."""
    films = int(table.sum())
    return int(np.trace(table)) / films if films else None


def recalls(table: Confusion) -> list[float | None]:
    """Return for each class the share of its films that were found, or None where it has none."""
    films = table.sum(axis=1)
    return [int(table[index, index]) / int(films[index]) if films[index] else None for index in range(len(table))]


def macro_recall(table: Confusion) -> float | None:
    """Return the mean recall of the classes that have films, or None where none has.

    Also known as balanced accuracy (Brodersen et al., ICPR 2010): 1 / classes for a network that
    always says the same, whatever the shares of the classes.
    """
    known = [recall for recall in recalls(table) if recall is not None]
    return sum(known) / len(known) if known else None


def matthews(table: Confusion) -> float | None:
    """Return the Matthews correlation of truth and what was said, for any number of classes.

    (c s - sum of p_k t_k) / sqrt((s^2 - sum of p_k^2)(s^2 - sum of t_k^2)), of s films c named rightly, t_k of
    class k and p_k called k (Gorodkin, Computational Biology and Chemistry 28, 2004, eq. 8).

    Returns:
        1 where all is right, 0 for what chance would reach and for a network that always says the same; None where
        all films are of one class, or there is none: nothing can go with a truth that does not vary.
    """
    # whole numbers of Python: their squares outgrow 64 bits
    said, truth = ([int(films) for films in table.sum(axis=axis)] for axis in (0, 1))
    films = sum(truth)
    of_truth = films**2 - sum(count**2 for count in truth)
    of_said = films**2 - sum(count**2 for count in said)
    if not of_truth:
        return None
    together = int(np.trace(table)) * films - sum(p * t for p, t in zip(said, truth, strict=True))
    return together / math.sqrt(of_truth * of_said) if of_said else 0.0


def shares(labels: Indices, *, classes: int) -> NDArray[np.float64]:
    """Return each class's share of the films, 0 throughout where there is no film."""
    films = np.bincount(np.asarray(labels, np.int64), minlength=classes)
    return np.asarray(films / max(len(labels), 1), np.float64)


def majority(labels: Indices, *, classes: int) -> int:
    """Return the class with the most films, the first of them where several tie."""
    return int(np.argmax(shares(labels, classes=classes)))


def auc(scores: ArrayLike, positives: Sequence[bool] | NDArray[np.bool_]) -> float:
    """Return the probability that a positive scores above a negative, a tie counting one half.

    The area under the ROC curve is the Mann-Whitney statistic over the number of pairs:
    (sum of the positives' ranks - p(p + 1)/2) / (p n), ties given their mean rank
    (Hanley and McNeil, Radiology 143, 1982).

    Returns:
        A number in [0, 1]: 0.5 where the scores tell nothing, 1 where every positive scores above all others.

    Raises:
        ValueError: where there is no positive or no negative, or a score is NaN, which has no rank.
    """
    values = np.asarray(scores, np.float64)
    positive = np.asarray(positives, np.bool_)
    if np.isnan(values).any():
        raise ValueError(f"{int(np.isnan(values).sum())} of {len(values)} scores are NaN; expected numbers")
    count = int(positive.sum())
    pairs = count * (len(values) - count)
    if pairs == 0:
        raise ValueError(f"{count} of {len(values)} films are positive; expected some of either kind")
    return float((mean_ranks(values)[positive].sum() - count * (count + 1) / 2) / pairs)


def one_against_rest(scored: ArrayLike, labels: Indices, index: int) -> float | None:
    """Return how well a class's scores tell its films from all others (`auc`); None where either kind is missing."""
    positive = np.asarray(labels) == index
    return auc(scored, positive) if 0 < positive.sum() < len(positive) else None


def mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each value's rank from 1 upwards; equal values share the mean of their ranks."""
    _, place, tied = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(tied)
    return np.asarray((last - (tied - 1) / 2)[place], np.float64)
