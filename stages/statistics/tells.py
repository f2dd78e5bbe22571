"""How far a number, or a model of several, tells the films of a class from all others, and how far it falls elsewhere.

A tell is the AUC of a class against the rest with its interval over patients (`probes.auc_interval`). Of a single
number it is the chance that a film of the class has more of it than another film: far from 0.5 on either side, the
number tells the class. Of a model it is that of the score it gives the class, to films of patients it has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.statistics.probes import auc_interval, patients_among
from stages.statistics.ridge import PENALTIES, Features, cross_validate, fit_path, indicators, patient_folds

LEAST_PATIENTS = 2  # on either side: of one, nothing follows for others

Values = NDArray[np.float64]  # (films,), NaN where a number is not known
Patients = NDArray[np.int64]  # (films,)


@dataclass(frozen=True, slots=True)
class Tell:
    """How well a class is told from the rest.

    Attributes:
        auc: 0.5 where not at all, 1 (or 0, for a single number) where always.
        low: lower end of the 95 % interval over patients.
        high: upper end.
        films: how many were asked, of the class and of the rest.
    """

    auc: float
    low: float
    high: float
    films: int

    @property
    def flipped(self) -> Tell:
        """The same by less of the number in place of more."""
        return Tell(1 - self.auc, 1 - self.high, 1 - self.low, self.films)

    def as_json(self) -> dict[str, float]:
        """Return it rounded to what does not hang on the order of a machine's additions."""
        return {**{name: round(getattr(self, name), 4) for name in ("auc", "low", "high")}, "films": self.films}


@dataclass(frozen=True, slots=True)
class Drop:
    """How much worse a class is told in one set of films than in another, of other patients.

    Attributes:
        drop: the first AUC less the second.
        low: lower end of its 95 % interval; above 0, what works in the one fails in the other.
        high: upper end.
    """

    drop: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """Return it rounded as `Tell.as_json` is."""
        return {name: round(getattr(self, name), 4) for name in ("drop", "low", "high")}


def surely(low: float, high: float) -> float:
    """Return how far an AUC is from telling nothing at least, from 0 to 1, by the nearer end of its interval."""
    return 2 * max(0.0, low - 0.5, 0.5 - high)


def upwards(auc: float) -> float:
    """Return an AUC as of a model that knows on which side the class lies: 0.5 where nothing is told, else more."""
    return max(auc, 1 - auc)


def tell(values: Values, positives: NDArray[np.bool_], patients: Patients) -> Tell | None:
    """Return how well a number tells the positives from the rest, films where it is unknown left out.

    None where either side has fewer than LEAST_PATIENTS patients.
    """
    known = ~np.isnan(values)
    values, positives, patients = values[known], positives[known], patients[known]
    if min(patients_among(patients[side]) for side in (positives, ~positives)) < LEAST_PATIENTS:
        return None
    return Tell(*auc_interval(values, positives, patients), films=len(values))


def drop(before: Tell, after: Tell) -> Drop:
    """Return by how much a tell falls, with the interval of a difference that follows from those of both.

    MOVER: Zou and Donner, Statistics in Medicine 27, 2008. The two sets of films share no patient.
    """
    difference = before.auc - after.auc
    down = math.hypot(before.auc - before.low, after.high - after.auc)
    up = math.hypot(before.high - before.auc, after.auc - after.low)
    return Drop(difference, difference - down, difference + up)


def cross_told(
    features: Features | Callable[[NDArray[np.bool_]], Features],
    labels: NDArray[np.int64],
    patients: Patients,
    judged: Mapping[str, int],
    *,
    seed: int = 0,
) -> dict[str, Tell]:
    """Return how well each class is told, each film by a ridge of other patients; classes of too few are left out.

    Args:
        features: as `cross_validate` takes them.
        labels: index of each film's class.
        patients: number of each film's patient.
        judged: the index of each class that is asked about, by its name.
        seed: decides the folds.
    """
    if len(labels) == 0:
        return {}
    targets = indicators(labels, classes=int(labels.max()) + 1)
    fold = patient_folds([str(one) for one in patients.tolist()], labels, seed=seed)
    return _tells(cross_validate(features, targets, fold).scores, labels, patients, judged)


def transferred(
    known: tuple[Features, NDArray[np.int64], Patients],
    asked: tuple[Features, NDArray[np.int64], Patients],
    judged: Mapping[str, int],
    *,
    seed: int = 0,
) -> dict[str, Tell]:
    """Return how well a ridge fitted on one set of films tells each class in another.

    Args:
        known: features, labels and patients of the films that it is fitted on.
        asked: those of the films that it is asked about.
        judged: the index of each class that is asked about, by its name.
        seed: decides the folds by which the penalty is chosen.
    """
    features, labels, patients = known
    if len(labels) == 0 or len(asked[1]) == 0:
        return {}
    targets = indicators(labels, classes=1 + max(int(labels.max()), int(asked[1].max())))
    fold = patient_folds([str(one) for one in patients.tolist()], labels, seed=seed)
    penalty = cross_validate(features, targets, fold, PENALTIES).penalty
    (fitted,) = fit_path(features, targets, [penalty])
    return _tells(fitted.scores(asked[0]), asked[1], asked[2], judged)


def _tells(
    scores: NDArray[np.float64], labels: NDArray[np.int64], patients: Patients, judged: Mapping[str, int]
) -> dict[str, Tell]:
    told = {
        name: tell(scores[:, index], labels == index, patients)
        for name, index in judged.items()
        if index < scores.shape[1]
    }
    return {name: one for name, one in told.items() if one is not None}


def standardised_difference(values: Values, labels: NDArray[np.int64]) -> float:
    """Return the largest difference between two classes' means in standard deviations within a class, 99 at most.

    Cohen's d with the pooled variance. It is 0 where there are not two classes. Where the films of each class are all
    alike and the classes differ it would be infinite, and is 99.
    """
    known = ~np.isnan(values)
    values, labels = values[known], labels[known]
    _, of_film = np.unique(labels, return_inverse=True)
    films = np.bincount(of_film)
    if len(films) < 2:
        return 0.0
    means = np.bincount(of_film, weights=values) / films
    within = float(((values - means[of_film]) ** 2).sum()) / max(len(values) - len(films), 1)
    between = float(means.max() - means.min())
    if between <= 1e-12 * (1 + float(np.abs(means).max())):
        return 0.0
    return min(99.0, between / math.sqrt(within)) if within > 0 else 99.0


def without(confounders: Features, features: Features, *, known: Features, of_known: Features) -> NDArray[np.float64]:
    """Return what of the features a cubic in each confounder does not explain, the cubics fitted on known films.

    What differs between two classes only because their films were scaled differently is gone from it; and so is a part
    of what would have told them apart at the same scale, where scale and class go together: it tells the least that
    can be said.

    Args:
        confounders: (films, columns) of the films to return.
        features: of the same films.
        known: the confounders of the films that the cubics are fitted on.
        of_known: their features.
    """
    centre, spread = known.mean(axis=0, dtype=np.float64), known.std(axis=0, dtype=np.float64)
    low, high = known.min(axis=0), known.max(axis=0)

    def powers(of: Features) -> NDArray[np.float64]:
        # no wilder outside the known films than at their ends
        scaled = (np.clip(of, low, high) - centre) / np.where(spread > 0, spread, 1)
        return np.concatenate([np.ones((len(of), 1)), scaled, scaled**2, scaled**3], axis=1)

    # of two confounders that go together, as scales across and down do, the least weights are taken
    weights, *_ = np.linalg.lstsq(powers(known), np.asarray(of_known, np.float64), rcond=1e-6)
    return np.asarray(features - powers(confounders) @ weights, np.float64)
