"""Which of several models that judged the same films is better, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from stages.statistics import paired, summary
from stages.statistics.bootstrap import FilmSet, draw_recalls, find_patients
from stages.statistics.scores import Indices


@dataclass(frozen=True, slots=True)
class Films:
    """What all the models judged.

    Attributes:
        labels: (films,) index of each film's class.
        groups: (films,) name of each film's patient.
        split: number of the films' split: intervals are those that the split's own evaluation draws.
    """

    labels: Indices
    groups: Sequence[str]
    split: int


def compare_models(
    films: Films,
    predicted: Mapping[str, Indices],
    classes: Sequence[str],
    *,
    draws: int,
    seed: int,
    first_only: bool = False,
) -> dict[str, Any]:
    """Return each model's scores, and each contrast's difference with its interval and its p-values.

    A contrast's difference is the second model's score less the first's.

    Args:
        films: at least one.
        predicted: (films,) index of the class that each model said, by the model's name.
        classes: names, in the order of the indices.
        draws: how often patients are redrawn; the same draws serve every model.
        seed: decides the draws.
        first_only: compare the others with the first model alone, and not with each other: fewer contrasts, and so
            a milder correction.
    """
    patients = find_patients(films.groups, films.labels, np.full(len(films.labels), films.split))
    sets = {name: FilmSet(patients.of_film, films.labels, said) for name, said in predicted.items()}
    of_sets = draw_recalls(list(sets.values()), patients, classes=len(classes), draws=draws, seed=seed)
    drawn = dict(zip(sets, of_sets, strict=True))
    # a patient is flipped whole, even one with films of two classes, who is redrawn as two
    whole = np.unique(np.asarray(films.groups, np.str_), return_inverse=True)[1]
    contrasts = []
    for first, second in combinations(predicted, 2):
        if first_only and first != next(iter(predicted)):
            continue
        differs = summary.compare(sets[second], drawn[second], sets[first], drawn[first], classes)
        contrasts.append({"first": first, "second": second, **differs, **_tests(sets[first], sets[second], whole)})
    adjusted = paired.holm([contrast["permutation_p"] for contrast in contrasts])
    return {
        "models": {name: summary.summarize(sets[name], drawn[name], classes) for name in sets},
        "contrasts": [{**contrast, "holm_p": p} for contrast, p in zip(contrasts, adjusted, strict=True)],
    }


def _tests(first: FilmSet, second: FilmSet, patients: Indices) -> dict[str, float]:
    """Return how many films each of two models alone named rightly, and the tests' p-values."""
    right, other_right = first.labels == first.predicted, second.labels == second.predicted
    first_alone, second_alone = paired.alone(right, other_right)
    return {
        "first_alone": first_alone,
        "second_alone": second_alone,
        "permutation_p": paired.sign_flip(right, other_right, patients),
        "mcnemar_p": paired.mcnemar(first_alone, second_alone),
    }
