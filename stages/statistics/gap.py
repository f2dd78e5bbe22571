"""Takes the gap apart: parts that add up to A(T') - A(S), exactly, in total, per class and in every draw.

r_c(X) is the recall of class c on a set X; A(X; p) = sum of p_c r_c(X) its accuracy at the class shares p. The gap is
walked step by step, from the augmented training images (T') to the test (S), and a part is what one step costs:

    A(T')         -> A(T)           augmentation  the copies, against the films they were made of
    A(T)          -> A(L)           fit           films that were learned, against films held out one by one
    A(L)          -> A(P)           leakage       patients that were learned, against patients held out
    A(P)          -> A(P; test)     prior         the class shares of train, against those of the test
    A(P; test)    -> A(S*; test)    shift         other films of the same classes
    A(S*; test)   -> A(S; test)     threshold     class thresholds that no longer fit (`stages.statistics.thresholds`)

Sets before `prior` stand at the shares of train. The parts telescope, so that their sum is the total whatever the
sets are. The order of the steps is a convention: `REVERSED` takes the shift first, at the shares of train, and the
prior of S*.

A class that one of the sets has no film of is left out of all, its share going to the others in proportion. A set
that is not there drops its steps: the parts on either side of them merge into one, named after both, and parts at the
ends are not given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

AUGMENTED = "augmented"  # T': all augmented training images
TRAIN = "train"  # T
LEAK_PROBE = "leak_probe"  # L
VAL = "val"  # P
TEST = "test"  # S
REFITTED = "test_refitted"  # S*

PARTS = ("augmentation", "fit", "leakage", "prior", "shift", "threshold")
JOINT = "+"  # between the names of parts that cannot be told apart

Recalls = NDArray[np.float64]  # (..., classes)
Shares = NDArray[np.float64]  # (classes,), sum 1


class Step(NamedTuple):
    """A place on the way: the films of a set, at the class shares of a set."""

    films: str
    shares: str


@dataclass(frozen=True, slots=True)
class Way:
    """Steps from the first set to the last, and the parts between them, one fewer than there are steps."""

    steps: tuple[Step, ...]
    parts: tuple[str, ...]

    def among(self, sets: Collection[str]) -> Way:
        """Return the way over the steps whose sets are there; what lay between two of them is one part."""
        kept = [at for at, step in enumerate(self.steps) if step.films in sets and step.shares in sets]
        parts = tuple(JOINT.join(self.parts[left:right]) for left, right in pairwise(kept))
        return Way(tuple(self.steps[at] for at in kept), parts)

    def not_given(self, sets: Collection[str]) -> tuple[str, ...]:
        """Return the parts that lie before the first step or behind the last one whose sets are there."""
        given = {name for part in self.among(sets).parts for name in part.split(JOINT)}
        return tuple(name for name in self.parts if name not in given)


FORWARD = Way(
    (
        Step(AUGMENTED, TRAIN),
        Step(TRAIN, TRAIN),
        Step(LEAK_PROBE, TRAIN),
        Step(VAL, TRAIN),
        Step(VAL, TEST),
        Step(REFITTED, TEST),
        Step(TEST, TEST),
    ),
    PARTS,
)
REVERSED = Way(
    (*FORWARD.steps[:4], Step(REFITTED, TRAIN), *FORWARD.steps[5:]),
    ("augmentation", "fit", "leakage", "shift", "prior", "threshold"),
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What each step of a way costs, class by class.

    Attributes:
        recall: (..., parts, classes) by how much the class's recall falls; 0 where only the shares change.
        contribution: (..., parts, classes) the class's share of what the part costs in accuracy.
    """

    recall: NDArray[np.float64]
    contribution: NDArray[np.float64]

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """What each part costs in accuracy, (..., parts)."""
        return np.asarray(self.contribution.sum(axis=-1), np.float64)

    @property
    def total(self) -> Parts:
        """All parts as one, (..., 1, classes)."""
        return Parts(self.recall.sum(axis=-2, keepdims=True), self.contribution.sum(axis=-2, keepdims=True))


def take_apart(way: Way, recalls: Mapping[str, Recalls], shares: Mapping[str, Shares]) -> Parts:
    """Return what each step of the way costs.

    Args:
        way: of at least one step.
        recalls: of each set on the way, (..., classes), one row per draw where they are drawn.
        shares: of each set at whose shares a step stands; a class of share 0 counts nowhere.
    """
    of_steps = np.stack([recalls[step.films] for step in way.steps], axis=-2)
    weights = np.stack([shares[step.shares] for step in way.steps])
    counted = (weights > 0).any(axis=0)
    return Parts(
        recall=np.where(counted, -np.diff(of_steps, axis=-2), 0),
        contribution=-np.diff(of_steps * weights, axis=-2),
    )


def accuracies(way: Way, recalls: Mapping[str, Recalls], shares: Mapping[str, Shares]) -> NDArray[np.float64]:
    """Return the accuracy at each step of the way, (..., steps): the first less the last is the total."""
    return np.stack([recalls[step.films] @ shares[step.shares] for step in way.steps], axis=-1)


def common_classes(films: Mapping[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Return which classes every set has films of, (classes,).

    Args:
        films: of each class in each set, (classes,).
    """
    return np.asarray(np.all([of_class > 0 for of_class in films.values()], axis=0), np.bool_)


def shares_among(films: NDArray[np.int64], kept: NDArray[np.bool_]) -> Shares:
    """Return each class's share of the films of the classes that are kept, 0 for the others."""
    counted = np.where(kept, films, 0)
    return np.asarray(counted / max(int(counted.sum()), 1), np.float64)
