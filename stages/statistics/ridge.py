"""Ridge regression on the classes: the linear model that a network has to beat, in closed form.

With standardised features Z (n, p) and centred indicators of the classes Y (n, k) it minimises

    ||Y - Z W||^2 / n + penalty ||W||^2,    so that W = (Z'Z / n + penalty I)^-1 Z'Y / n

(Hoerl and Kennard, Technometrics 12, 1970), or the same by way of ZZ' where there are fewer films than features.
A film is given the class whose indicator comes out highest. The penalty is chosen by cross-validation over
patients: over films, siblings on both sides would make too little of it look best.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.statistics.scores import Indices
from stages.statistics.splits import gathered, rank_key

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # a feature's share of the variance is 1: the same on any set
FOLDS = 5

Features = NDArray[np.floating]  # (films, features)
Targets = NDArray[np.float64]  # (films, classes), 1 in the column of the film's class
Scores = NDArray[np.float64]  # (films, classes), highest for the class that a film is given


@dataclass(frozen=True, slots=True)
class Ridge:
    """A fitted ridge.

    Attributes:
        penalty: what it was fitted with.
        centre: (features,) their means in the films it was fitted on.
        weights: (features, classes), of the centred features, in their own units.
        offset: (classes,) the classes' shares in the films it was fitted on.
    """

    penalty: float
    centre: NDArray[np.float64]
    weights: NDArray[np.float64]
    offset: NDArray[np.float64]

    def scores(self, features: Features) -> Scores:
        """Return for each film how much it is like each class; a film's scores sum to 1."""
        return np.asarray((features - self.centre) @ self.weights + self.offset, np.float64)


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """What a ridge says of films that it was not fitted on, nor on any film of their patients.

    Attributes:
        penalty: the one with the least squared error.
        scores: of each film, by the ridge of that penalty that was fitted on the other folds.
    """

    penalty: float
    scores: Scores


def indicators(labels: Indices, *, classes: int) -> Targets:
    """Return 1 in the column of each film's class, 0 elsewhere."""
    return np.eye(classes)[np.asarray(labels, np.int64)]


def patient_folds(groups: Sequence[str], labels: Indices, *, folds: int = FOLDS, seed: int = 0) -> NDArray[np.int64]:
    """Return each film's fold, the same for all films of a group, each class's groups spread evenly.

    Groups are dealt out in the order of their keyed hash, so that the order of the films does not matter.

    Args:
        groups: each film's patient group.
        labels: each film's class; a group with films of several counts for the smallest.
        folds: how many; fewer where there are fewer groups.
        seed: key of the hash.
    """
    of_group = gathered(groups, np.asarray(labels, np.int64).tolist())
    dealt = sorted(of_group, key=lambda group: (min(of_group[group]), rank_key(seed, "fold", group)))
    fold = {group: place % max(1, min(folds, len(dealt))) for place, group in enumerate(dealt)}
    return np.array([fold[group] for group in groups], np.int64)


def fit_path(features: Features, targets: Targets, penalties: Sequence[float]) -> list[Ridge]:
    """Return the ridges of all penalties, fitted on the same films; a feature that is constant has no weight.

    Args:
        features: of at least one film.
        targets: as `indicators` makes them.
        penalties: above 0, so that there is one solution.
    """
    films, width = features.shape
    centre, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    # what rounding leaves of a constant is no spread
    scale = np.where(spread > 1e-9 * (1 + np.abs(centre)), spread, np.inf)
    standardised = (features - centre) / scale
    offset = targets.mean(axis=0)
    dual = films < width
    gram = (standardised @ standardised.T if dual else standardised.T @ standardised) / films
    right = (targets - offset if dual else standardised.T @ (targets - offset)) / films
    solved = (np.linalg.solve(gram + penalty * np.eye(len(gram)), right) for penalty in penalties)
    weights = (standardised.T @ found if dual else found for found in solved)
    return [
        Ridge(penalty, centre, of_penalty / scale[:, None], offset)
        for penalty, of_penalty in zip(penalties, weights, strict=True)
    ]


def cross_validate(
    features: Features | Callable[[NDArray[np.bool_]], Features],
    targets: Targets,
    fold: NDArray[np.int64],
    penalties: Sequence[float] = PENALTIES,
) -> CrossValidated:
    """Return what ridges say of each film that were fitted on the films of all other folds.

    With one fold there is nothing to fit on: the largest penalty is taken, and every film gets the classes' shares.

    Args:
        features: of all films; or, where they are made from films that are known (bins of their values), what returns
            them once told which films are.
        targets: as `indicators` makes them.
        fold: of each film.
        penalties: to choose from.
    """
    scores = np.tile(targets.mean(axis=0), (len(penalties), len(targets), 1))
    if (folds := np.unique(fold)).size < 2:
        return CrossValidated(max(penalties), scores[-1])
    for held in folds:
        inside = fold != held
        seen = features(inside) if callable(features) else features
        for place, ridge in enumerate(fit_path(seen[inside], targets[inside], penalties)):
            scores[place, ~inside] = ridge.scores(seen[~inside])
    errors = ((scores - targets) ** 2).mean(axis=(1, 2))
    best = len(errors) - 1 - int(np.argmin(errors[::-1]))  # of equals the largest, which trusts the films least
    return CrossValidated(penalties[best], scores[best])


def fit_ridge(features: Features, labels: Indices, groups: Sequence[str], *, classes: int, seed: int = 0) -> Ridge:
    """Return the ridge fitted on all films, its penalty chosen by cross-validation over their patients."""
    targets = indicators(labels, classes=classes)
    chosen = cross_validate(features, targets, patient_folds(groups, labels, seed=seed))
    return fit_path(features, targets, [chosen.penalty])[0]
