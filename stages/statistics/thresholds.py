"""What class thresholds alone could win on the test: its films judged with a bias fitted on its other patients.

A bias per class is added to the log-probabilities, as other class shares or another exposure would call for (Saerens
et al., Neural Computation 14, 2002, adjust outputs so). It is fitted on one half of the patients and judged on the
other, both ways, so that no film helps to judge itself. It reads the labels of the test: it tells what the gap is
made of, and is no network that anyone may use; so the predictions leave this module and the bias does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stages.statistics.scores import Indices
from stages.statistics.splits import gathered, rank_key

SMALLEST = 1e-45  # the least positive number of 32 bits: what a softmax of 0 is taken for
ROUNDS = 20  # over all classes, at most; a few are enough
TIE = 1e-12  # of two accuracies

LogProbabilities = NDArray[np.float64]  # (films, classes)
Bias = NDArray[np.float64]  # (classes,)


def refitted(
    probabilities: NDArray[np.floating],
    labels: Indices,
    groups: Sequence[str],
    shares: NDArray[np.float64],
    *,
    seed: int,
) -> NDArray[np.int64]:
    """Return what is said of each film with the bias that the other half of the patients asks for, (films,).

    Args:
        probabilities: (films, classes).
        labels: each film's class.
        groups: each film's patient group.
        shares: of the classes, at which accuracy is to be highest; a class of share 0 does not count.
        seed: decides the halves.
    """
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), SMALLEST))
    second = in_second_half(groups, labels, seed=seed)
    said = np.zeros(len(logs), np.int64)
    for half in (second, ~second):
        bias = fit_bias(logs[~half], np.asarray(labels)[~half], shares)
        said[half] = (logs[half] + bias).argmax(axis=1)
    return said


def in_second_half(groups: Sequence[str], labels: Indices, *, seed: int) -> NDArray[np.bool_]:
    """Return which films belong to the second half of the patients: every other one of each class, by keyed hash.

    A group with films of several classes counts for its most frequent one, and stays whole.
    """
    labels_of = gathered(list(groups), np.asarray(labels).tolist())
    of_class = {name: Counter(sorted(found)).most_common(1)[0][0] for name, found in labels_of.items()}
    second: set[str] = set()
    for names in gathered([str(label) for label in of_class.values()], list(of_class)).values():
        second |= set(sorted(names, key=lambda name: rank_key(seed, "halves", name))[1::2])
    return np.array([group in second for group in groups], np.bool_)


def fit_bias(logs: LogProbabilities, labels: Indices, shares: NDArray[np.float64]) -> Bias:
    """Return the bias that coordinate ascent from 0 finds: of each class in turn the best, of equals the smallest.

    Along one coordinate accuracy is a step function, so that its maximum is found exactly; the whole search is
    deterministic and never ends below where it began. Classes without films here count nothing.
    """
    classes = logs.shape[1]
    films = np.bincount(labels, minlength=classes)
    worth = (shares / np.maximum(films, 1))[labels]  # of a film that is named rightly
    bias = np.zeros(classes)
    best = _accuracy(logs, labels, worth, bias)
    for _ in range(ROUNDS if len(logs) and classes > 1 else 0):
        before = best
        for index in range(classes):
            tried = bias.copy()
            tried[index] = _best_of(logs + bias, labels, worth, index, now=bias[index])
            if (reached := _accuracy(logs, labels, worth, tried)) > best + TIE:
                bias, best = tried, reached
        if best <= before + TIE:
            break
    return bias


def _accuracy(logs: LogProbabilities, labels: Indices, worth: NDArray[np.float64], bias: Bias) -> float:
    """Return the worth of the films that are named rightly with a bias: accuracy at the shares that it stands for."""
    return float(worth[(logs + bias).argmax(axis=1) == labels].sum())


def _best_of(biased: LogProbabilities, labels: Indices, worth: NDArray[np.float64], index: int, *, now: float) -> float:
    """Return the bias of one class at which accuracy is highest, of equals the smallest in size.

    Each film goes over to the class where its bias passes the lead of the best other class. Tried are 0 and the
    middles between two such turns, which hold for new films sooner than their edges do.
    """
    others = biased.copy()
    others[:, index] = -np.inf
    turns = others.max(axis=1) - biased[:, index] + now
    order = np.argsort(turns, kind="stable")
    gain = np.where(labels == index, worth, 0) - np.where(labels == others.argmax(axis=1), worth, 0)
    edges = turns[order]
    tried = np.concatenate([[edges[0] - 1], (edges[1:] + edges[:-1]) / 2, [edges[-1] + 1], [0.0]])
    reached = np.concatenate([[0.0], np.cumsum(gain[order])])[np.searchsorted(edges, tried)]
    equals = tried[reached >= reached.max() - TIE]
    return float(equals[np.argmin(np.abs(equals))])
