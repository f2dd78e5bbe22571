"""What a report says of scored sets of films, and of the differences between them: nested numbers, as JSON has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.statistics import scores
from stages.statistics.bootstrap import FilmSet, RecallDraws, interval
from stages.statistics.gap import AUGMENTED, TRAIN


def summarize_sets(
    sets: Mapping[str, FilmSet], drawn: Mapping[str, RecallDraws], classes: Sequence[str]
) -> dict[str, Any]:
    """Return the scores of every split, what the most frequent class of train would score, and the losses from train.

    Args:
        sets: each split's films, `train` among them; all augmented images as `augmented`, or not at all.
        drawn: each set's recalls in every draw, the same draws for all sets.
        classes: names, in the order of the indices.
    """
    splits = [name for name in sets if name != AUGMENTED]
    pairs = [(AUGMENTED, TRAIN)] if AUGMENTED in sets else []
    pairs += [(TRAIN, split) for split in splits if split != TRAIN]
    most_frequent = scores.majority(sets[TRAIN].labels, classes=len(classes))
    summary: dict[str, Any] = {
        "splits": {split: summarize(sets[split], drawn[split], classes) for split in splits},
        "majority": {split: float(np.mean(sets[split].labels == most_frequent)) for split in splits},
        "differences": {
            f"{left}_minus_{right}": compare(sets[left], drawn[left], sets[right], drawn[right], classes)
            for left, right in pairs
        },
    }
    if AUGMENTED in sets:
        of_images = summarize(sets[AUGMENTED], drawn[AUGMENTED], classes)
        summary["augmented_accuracy"] = of_images["accuracy"]
        summary["augmented"] = {"images": of_images.pop("films"), **of_images}
    return summary


def summarize(films: FilmSet, drawn: RecallDraws, classes: Sequence[str]) -> dict[str, Any]:
    """Return a set's scores with their intervals; a class without films has no recall and is left out of it.

    Args:
        films: at least one.
        drawn: their recalls in every draw.
        classes: names, in the order of the indices.
    """
    table = scores.confusion(films.labels, films.predicted, classes=len(classes))
    recalls = scores.recalls(table)
    known = [index for index, recall in enumerate(recalls) if recall is not None]
    of_recall = {classes[index]: interval(drawn[:, index]) for index in known}
    of_accuracy = interval(accuracy_draws(films, drawn))
    return {
        "films": films.count,
        "patients": len(np.unique(films.patients)),
        "accuracy": scores.accuracy(table),
        "accuracy_low": of_accuracy.low,
        "accuracy_high": of_accuracy.high,
        "macro_recall": scores.macro_recall(table),
        "recall": {classes[index]: recalls[index] for index in known},
        "recall_low": {name: found.low for name, found in of_recall.items()},
        "recall_high": {name: found.high for name, found in of_recall.items()},
        "confusion": {
            truth: dict(zip(classes, row.tolist(), strict=True)) for truth, row in zip(classes, table, strict=True)
        },
    }


def compare(
    left: FilmSet, left_drawn: RecallDraws, right: FilmSet, right_drawn: RecallDraws, classes: Sequence[str]
) -> dict[str, Any]:
    """Return by how much the left set scores above the right one, in accuracy and in the recall of each class.

    Both sets' recalls must come from the same draws. A class that either set lacks is left out.
    """
    left_table = scores.confusion(left.labels, left.predicted, classes=len(classes))
    right_table = scores.confusion(right.labels, right.predicted, classes=len(classes))
    pairs = zip(scores.recalls(left_table), scores.recalls(right_table), strict=True)
    return {
        **_difference(
            scores.accuracy(left_table),
            scores.accuracy(right_table),
            accuracy_draws(left, left_drawn) - accuracy_draws(right, right_drawn),
        ),
        "recall": {
            classes[index]: _difference(of_left, of_right, left_drawn[:, index] - right_drawn[:, index])
            for index, (of_left, of_right) in enumerate(pairs)
            if of_left is not None and of_right is not None
        },
    }


def accuracy_draws(films: FilmSet, drawn: RecallDraws) -> NDArray[np.float64]:
    """Return the set's accuracy in every draw, its classes' shares held fixed."""
    return np.asarray(drawn @ scores.shares(films.labels, classes=drawn.shape[1]), np.float64)


def _difference(left: float | None, right: float | None, drawn: NDArray[np.float64]) -> dict[str, float]:
    """Return by how much one score exceeds another, and the interval of the difference's draws."""
    assert left is not None, "every set has films"
    assert right is not None, "every set has films"
    low, high = interval(drawn)
    return {"difference": left - right, "low": low, "high": high}
