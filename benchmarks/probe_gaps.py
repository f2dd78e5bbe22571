"""The parts of the gap of a ridge and of the nearest neighbour on 28 x 28 pixels: by split, and by cross-validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import careless
from benchmarks.careless import MODELS, Pool
from manifests import store
from manifests.rows import AUDITED, NORMALIZED
from stages import paths, split
from stages.columns import where_ok
from stages.patients import clusters_of
from stages.probing import NEAREST, Films
from stages.scoring import read_images
from stages.statistics.bootstrap import FilmSet, draw_recalls, find_patients
from stages.statistics.gap_summary import judged, summarize_gap
from stages.statistics.probes import nearest_neighbour
from stages.statistics.ridge import indicators
from stages.statistics.thresholds import refitted

CLASSES = ("normal", "bacterial", "viral")
SPLITS = ("train", "leak_probe", "val", "test")


def redrawn(root: Path, films: Films, seed: int) -> Films:
    """Return the films, split as another seed of the default split does."""
    rows = store.read_table(AUDITED, root / paths.AUDIT)
    usable = rows.filter(where_ok(rows))
    assigned = split.assign(usable, clusters_of(rows), split.SplitParams(seed=seed))
    of_film = dict(zip(usable.column("film_id").to_pylist(), assigned.to_pylist(), strict=True))
    return replace(films, splits=np.array([of_film[film_id] for film_id in ids_of(root)], np.str_))


def ids_of(root: Path) -> list[str]:
    """Return the films in the order of what the probes see."""
    return [row.film_id for row in read_images(root, paths.NORMALIZED, NORMALIZED).rows]


def default_gap(name: str, films: Films, draws: int, *, seed: int = 0) -> dict[str, Any]:
    """Return the parts of a probe that learned from the split's train."""
    in_train = films.splits == "train"
    said = _scores(name, films.of(in_train), films)
    sets = {of: (films.splits == of, said[films.splits == of].argmax(axis=1)) for of in SPLITS}
    return gap_of(films, sets, said[films.splits == "test"], draws, seed=seed)


def cross_validated_gap(name: str, films: Films, draws: int) -> dict[str, Any]:
    """Return the parts where L and P are all training films, held out in fifths by film and by patient."""
    in_train, model = films.splits == "train", MODELS[name]
    train = films.of(in_train)
    said = _scores(name, train, films)
    pool = Pool(train.pixels, train.labels, train.groups, [])
    sets = {
        "train": (in_train, said[in_train].argmax(axis=1)),
        "leak_probe": (in_train, careless.held_out(model, pool, pool.images, seed=0)),
        "val": (in_train, careless.held_out(model, pool, pool.patients, seed=0)),
        "test": (~in_train, said[~in_train].argmax(axis=1)),
    }
    return gap_of(films, sets, said[~in_train], draws)


def _scores(name: str, train: Films, films: Films) -> NDArray[np.float64]:
    if name == NEAREST:
        return indicators(nearest_neighbour(train.pixels, train.labels, films.pixels), classes=len(CLASSES))
    return careless.ridge_scores(train.pixels, train.labels, films.pixels, careless.PENALTY)


def gap_of(
    films: Films,
    sets: Mapping[str, tuple[NDArray[np.bool_], NDArray[np.signedinteger]]],
    of_test: NDArray[np.float64],
    draws: int,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the parts of the gap.

    Args:
        films: all of them.
        sets: which films each holds, and what is said of them.
        of_test: the scores of the test's films; thresholds are refitted on them.
        draws: of the patients, for the intervals.
        seed: decides the halves of the test.
    """
    again = _refitted(films.of(sets["test"][0]), of_test, seed)
    patients = find_patients(films.groups, films.labels, np.unique(films.splits, return_inverse=True)[1])
    judged_sets = {
        of: FilmSet(patients.of_film[where], films.labels[where], said)
        for of, (where, said) in {**sets, "test_refitted": (sets["test"][0], again)}.items()
    }
    drawn = draw_recalls(list(judged_sets.values()), patients, classes=len(CLASSES), draws=draws, seed=0)
    return summarize_gap(judged(judged_sets, dict(zip(judged_sets, drawn, strict=True)), classes=len(CLASSES)), CLASSES)


def threshold_by_halves(name: str, films: Films, halves: int) -> list[float]:
    """Return the threshold part for as many draws of the test's halves, of the model that learned from all of train."""
    test = films.of(films.splits == "test")
    said = _scores(name, films.of(films.splits == "train"), test)
    before = np.mean(said.argmax(axis=1) == test.labels)
    return [float(np.mean(_refitted(test, said, seed) == test.labels) - before) for seed in range(halves)]


def _refitted(test: Films, said: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    grown = np.exp(said)  # log-probabilities are then the scores
    return refitted(grown, test.labels, test.groups, np.bincount(test.labels) / len(test.labels), seed=seed)
