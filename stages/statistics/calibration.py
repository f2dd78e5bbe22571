"""How far probabilities can be believed: scores of the probabilities themselves, and not of the class they favour.

Probabilities are (films, classes), each row adding up to 1 but for rounding. No film gives no score: None.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.statistics import scores
from stages.statistics.scores import Indices

BINS = 15
SMALLEST = float(np.finfo(np.float32).eps)  # 1.2e-7: what float32 cannot tell from 0 beside a 1


def brier(probabilities: NDArray[np.floating[Any]], labels: Indices) -> float | None:
    """Return the mean over films of the squared distance to the truth, summed over all classes.

    This is Brier's own form (Monthly Weather Review 78, 1950): 0 at best, 2 at worst, and with two classes twice
    the form that looks at one of them alone. A network that gives all of c classes 1 / c has 1 - 1 / c.
    """
    if not len(labels):
        return None
    told = np.asarray(probabilities, np.float64)
    truth = np.zeros_like(told)
    truth[np.arange(len(labels)), labels] = 1
    return float(((told - truth) ** 2).sum(axis=1).mean())


def log_loss(probabilities: NDArray[np.floating[Any]], labels: Indices) -> float | None:
    """Return the mean over films of -ln(probability of the true class), in nats.

    A probability below SMALLEST counts as SMALLEST, so that a film costs 15.9 at most: a single 0, which float32
    rounds to, would make the mean infinite.
    """
    if not len(labels):
        return None
    of_truth = np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(of_truth, SMALLEST, 1)).mean())


def reliability(
    probabilities: NDArray[np.floating[Any]], labels: Indices, *, bins: int = BINS
) -> list[dict[str, int | float]]:
    """Return the films' mean confidence and their accuracy, for each bin of confidence that has films.

    A film's confidence is the probability of the class that it is given. Bins are equally wide over [0, 1] and
    hold their upper end (Guo et al., ICML 2017).

    Returns:
        For each bin, from the lowest: `low`, `high`, `films`, `confidence`, `accuracy`.
    """
    told = np.asarray(probabilities, np.float64)
    # a row whose sum is a little over 1 may hold a probability that is
    confidence = np.minimum(told.max(axis=1, initial=0), 1)
    right = told.argmax(axis=1) == labels
    of_film = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    films = np.bincount(of_film, minlength=bins)
    sure = np.bincount(of_film, weights=confidence, minlength=bins)
    correct = np.bincount(of_film, weights=right, minlength=bins)
    return [
        {
            "low": place / bins,
            "high": (place + 1) / bins,
            "films": int(films[place]),
            "confidence": float(sure[place] / films[place]),
            "accuracy": float(correct[place] / films[place]),
        }
        for place in np.flatnonzero(films).tolist()
    ]


def calibration_error(bins: list[dict[str, int | float]]) -> float | None:
    """Return the expected calibration error of a reliability curve.

    The mean over films of their bin's |confidence - accuracy| (Naeini et al., AAAI 2015; for several classes with
    the confidence of the class that is given, Guo et al., ICML 2017). 0 where each bin is as right as it is sure;
    few films in a bin raise it by chance, so compare it between sets of like size.
    """
    films = sum(place["films"] for place in bins)
    if not films:
        return None
    return sum(place["films"] * abs(place["confidence"] - place["accuracy"]) for place in bins) / films


def further_scores(probabilities: NDArray[np.floating[Any]], labels: Indices) -> dict[str, Any]:
    """Return every score of a set beside accuracy and recall; those of each class in a list, None where unknown."""
    classes = probabilities.shape[1]
    table = scores.confusion(labels, probabilities.argmax(axis=1), classes=classes)
    return {
        "macro_recall": scores.macro_recall(table),
        "mcc": scores.matthews(table),
        "auc": [scores.one_against_rest(probabilities[:, index], labels, index) for index in range(classes)],
        "brier": brier(probabilities, labels),
        "log_loss": log_loss(probabilities, labels),
        "calibration_error": calibration_error(reliability(probabilities, labels)),
    }
