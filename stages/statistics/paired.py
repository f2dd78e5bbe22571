"""Whether two models that judged the same films differ by more than chance: exact tests, and Holm's correction.

Films of one patient resemble one another, and so do a model's answers to them. The primary test therefore exchanges
the two models' answers patient by patient; McNemar's test, which takes every film for a draw of its own, stands
beside it because readers know it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stages.statistics.scores import Indices

Right: TypeAlias = NDArray[np.bool_]  # (films,), whether a model named the film's own class
Chances: TypeAlias = NDArray[np.float64]  # (outcomes,), adding up to 1

LEAST = float(np.finfo(np.float64).tiny)  # no p-value is 0: what is rarer than that is called as rare


def alone(first: Right, second: Right) -> tuple[int, int]:
    """Return how many films the first model alone named rightly, and how many the second alone."""
    assert len(first) == len(second)
    return int(np.sum(first & ~second)), int(np.sum(second & ~first))


def sign_flip(first: Right, second: Right, patients: Indices) -> float:
    """Return the two-sided p-value of a difference in accuracy, by exchanging the models' answers patient by patient.

    Where the models do not differ, it is as likely that a patient's answers had come from the other model: each
    patient's difference of right films keeps its size and changes its sign with probability one half (the paired
    permutation test: Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005, section 3.2). The
    p-value is the share of all 2^patients exchanges whose sum is at least as far from 0 as the one that was found.
    Since the differences are whole numbers, the distribution of the sum is computed and not drawn (Pagano and
    Tritchler, Journal of the American Statistical Association 78, 1983): the p-value is exact for any number of
    patients. With one film of each patient it is McNemar's exact test.

    Args:
        first: whether the first model was right, film by film.
        second: the same of the second model.
        patients: (films,) index of each film's patient.

    Returns:
        A number in (0, 1]: 1 where the models are right equally often.
    """
    assert len(first) == len(second) == len(patients)
    gains = np.asarray(second, np.int64) - np.asarray(first, np.int64)
    differences = np.bincount(np.asarray(patients, np.int64), weights=gains).astype(np.int64)
    return _both_tails(_sums_of_flips(np.abs(differences)), abs(int(differences.sum())))


def _sums_of_flips(sizes: NDArray[np.int64]) -> Chances:
    """Return the chance of each sum of randomly signed sizes, from -total to total.

    Patients of the same size are taken together: the number of them with a plus sign is binomial.
    """
    chances = np.ones(1)
    for size, patients in zip(*np.unique(sizes[sizes > 0], return_counts=True), strict=True):
        steps = np.zeros(2 * int(size) * int(patients) + 1)
        steps[:: 2 * int(size)] = halves(int(patients))
        chances = np.convolve(chances, steps)
    return chances


def _both_tails(chances: Chances, distance: int) -> float:
    """Return the chance of a sum at least so far from 0; the chances are symmetric about the middle one."""
    if distance == 0:
        return 1.0
    middle = len(chances) // 2
    return min(1.0, max(LEAST, 2 * float(chances[middle + distance :].sum())))


def halves(number: int) -> Chances:
    """Return the binomial distribution of `number` fair coins, from 0 heads to all, by way of the log-gamma function.

    The logarithms do not overflow, whatever the number; chances below 1e-308 are 0.
    """
    log_factorial = np.array([math.lgamma(count + 1) for count in range(number + 1)])
    return np.asarray(np.exp(log_factorial[-1] - log_factorial - log_factorial[::-1] - number * math.log(2)))


def mcnemar(first_alone: int, second_alone: int) -> float:
    """Return the exact two-sided p-value of McNemar's test, which takes every film for a draw of its own.

    Where the models do not differ, each film that one of them alone names rightly is the first's with probability
    one half: twice the smaller binomial tail (McNemar, Psychometrika 12, 1947; exact form: Agresti, Categorical
    Data Analysis, 2002, section 10.1).

    Args:
        first_alone: films that the first model alone named rightly.
        second_alone: films that the second model alone named rightly.

    Returns:
        A number in (0, 1]: 1 where both are equal.
    """
    number = first_alone + second_alone
    tail = float(halves(number)[: min(first_alone, second_alone) + 1].sum())
    return min(1.0, max(LEAST, 2 * tail))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted so that the chance of any false alarm among them all stays what each one says.

    Step down: the smallest is multiplied by how many there are, the next by one less, and none falls below the one
    before it (Holm, Scandinavian Journal of Statistics 6, 1979).
    """
    adjusted = [0.0] * len(p_values)
    floor = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = floor
    return adjusted
