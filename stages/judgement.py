"""From the probabilities that models give to the figures of `reports/evaluation.json`; no files, no printing.

Several models (seeds of one recipe) are judged on the same films by the same draws of patients. Every figure is then
the mean over the models, its interval that of the mean: it tells what other patients would change, the models held
fixed. What another seed would change is the standard deviation over the models, beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manifests.rows import SPLITS
from stages.scoring import Images, Probabilities
from stages.statistics.bootstrap import FilmSet, Patients, RecallDraws, draw_recalls, find_patients
from stages.statistics.gap import REFITTED, TEST, common_classes, shares_among
from stages.statistics.gap_summary import judged, summarize_gap
from stages.statistics.scores import Indices
from stages.statistics.summary import summarize_sets
from stages.statistics.thresholds import refitted

FIGURE = ("value", "low", "high")

Sets = Mapping[str, FilmSet]
Draws = Mapping[str, RecallDraws]


def summarize(
    sets: Mapping[str, Images],
    said: Mapping[str, Mapping[str, Probabilities]],
    films: Images,
    *,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Return the scores of what was judged, the gap part by part, and each model's share in them.

    Args:
        sets: splits, and the augmented images.
        said: of each model, the probabilities of each set.
        films: those of all splits, scored or not: with whom a patient is redrawn must not depend on what else is
            scored, so that a split's interval is the same whichever splits are asked for.
        draws: how often patients are redrawn; the same draws serve every number.
        seed: decides the draws, and the halves of the test.
    """
    classes = list(films.facts["classes"])
    patients = _patients(sets, films)
    of_models = {name: _film_sets(sets, found, films, patients, seed=seed) for name, found in said.items()}
    drawn = _draw(of_models, patients, classes=len(classes), draws=draws, seed=seed)
    pooled = {name: _pooled([of_model[name] for of_model in of_models.values()]) for name in _names(of_models)}
    means = {name: np.mean([of_model[name] for of_model in drawn.values()], axis=0) for name in pooled}
    splits = {name: of_set for name, of_set in pooled.items() if name != REFITTED}
    each = {name: _of_model(of_model, drawn[name], classes) for name, of_model in of_models.items()}
    return {
        "gap": summarize_gap(judged(pooled, means, classes=len(classes)), classes),
        **summarize_sets(splits, means, classes),
        "models": each,
        "spread": _spread(list(each.values())),
    }


def _names(of_models: Mapping[str, Sets]) -> list[str]:
    return list(next(iter(of_models.values())))


def _patients(sets: Mapping[str, Images], films: Images) -> Patients:
    """Return whose the films are: those of all splits first, then those of each set."""
    everyone = [*films.rows, *(row for images in sets.values() for row in images.rows)]
    return find_patients(
        [row.group_id or row.film_id for row in everyone],
        np.array([row.label_index for row in everyone], np.int64),
        np.array([SPLITS.index(row.split) for row in everyone if row.split is not None], np.int64),
    )


def _film_sets(
    sets: Mapping[str, Images], said: Mapping[str, Probabilities], films: Images, patients: Patients, *, seed: int
) -> dict[str, FilmSet]:
    """Return a model's judgement of each set; of the test once more, its class thresholds refitted."""
    found, start = {}, len(films.rows)
    for name, images in sets.items():
        of_set = patients.of_film[start : start + len(images.rows)]
        found[name] = FilmSet(of_set, images.labels, said[name].argmax(axis=1))
        start += len(images.rows)
    if TEST in sets:
        classes = len(films.facts["classes"])
        counts = {name: np.bincount(images.labels, minlength=classes) for name, images in sets.items()}
        shares = shares_among(counts[TEST], common_classes(counts))
        test, groups = found[TEST], [row.group_id or row.film_id for row in sets[TEST].rows]
        again: Indices = refitted(said[TEST], test.labels, groups, shares, seed=seed)
        found[REFITTED] = FilmSet(test.patients, test.labels, again)
    return found


def _draw(
    of_models: Mapping[str, Sets], patients: Patients, *, classes: int, draws: int, seed: int
) -> dict[str, dict[str, RecallDraws]]:
    """Return every model's recalls in every draw; one draw is the same patients for all models and sets."""
    every = [of_set for of_model in of_models.values() for of_set in of_model.values()]
    drawn = iter(draw_recalls(every, patients, classes=classes, draws=draws, seed=seed))
    return {model: {name: next(drawn) for name in of_model} for model, of_model in of_models.items()}


def _pooled(of_set: Sequence[FilmSet]) -> FilmSet:
    """Return what all models say of a set: its shares of right films are the means over the models."""
    first = of_set[0]
    return FilmSet(
        np.tile(first.patients, len(of_set)),
        np.tile(first.labels, len(of_set)),
        np.concatenate([films.predicted for films in of_set]),
        models=len(of_set),
    )


def _of_model(sets: Sets, drawn: Draws, classes: Sequence[str]) -> dict[str, Any]:
    """Return a model's accuracies and its parts with their intervals."""
    gap = summarize_gap(judged(sets, drawn, classes=len(classes)), classes)
    return {
        "accuracy": {
            name: float(np.mean(films.predicted == films.labels)) for name, films in sets.items() if name != REFITTED
        },
        "total": gap["total"] and {key: gap["total"][key] for key in FIGURE},
        "parts": {part: {key: found[key] for key in FIGURE} for part, found in gap["parts"].items()},
    }


def _spread(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return mean, standard deviation and all values of the accuracies, the total and the parts of the models."""
    first = each[0]
    return {
        "accuracy": {name: _over([model["accuracy"][name] for model in each]) for name in first["accuracy"]},
        "total": first["total"] and _over([model["total"]["value"] for model in each]),
        "parts": {part: _over([model["parts"][part]["value"] for model in each]) for part in first["parts"]},
    }


def _over(values: list[float]) -> dict[str, Any]:
    """Return what becomes of a figure over models; one model has no standard deviation."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": sd, "values": values}
