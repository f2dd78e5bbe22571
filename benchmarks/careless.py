"""What careless splits hide: the same films, the same models, drawn with and without siblings and copies on both sides.

Accuracy is cross-validated, so that every film is held out once: by film (or image) as a careless split draws them,
and by patient. The difference is the leakage that a careless split takes for skill.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.augment import pixels_of
from stages.augment_params import AugmentParams
from stages.films.frame import Frame
from stages.films.pooled import cells
from stages.probing import NEAREST, RIDGE
from stages.scoring import Images
from stages.statistics.bootstrap import FilmSet, draw_recalls, find_patients, interval
from stages.statistics.probes import nearest_neighbour
from stages.statistics.ridge import fit_path, indicators, patient_folds
from stages.statistics.scores import Indices
from stages.statistics.summary import accuracy_draws

PENALTY = 0.3  # what cross-validation over patients finds on these films; the same for all, so that only folds differ
DRAWS = 10_000

Model = Callable[[NDArray[np.floating], Indices, NDArray[np.floating]], NDArray[np.signedinteger]]


@dataclass(frozen=True, slots=True)
class Pool:
    """Images that may be learned from or held out.

    Attributes:
        pixels: (images, 784).
        labels: (images,).
        patients: whose each image is.
        films: which film each image shows; a film and its copies share one.
    """

    pixels: NDArray[np.floating]
    labels: NDArray[np.int64]
    patients: Sequence[str]
    films: Sequence[str]

    @property
    def images(self) -> list[str]:
        """A name for each image."""
        return [f"image{number}" for number in range(len(self.labels))]


@dataclass(frozen=True, slots=True)
class Leak:
    """By how much a careless split scores above the honest one, in shares."""

    careless: float
    honest: float
    low: float
    high: float


def ridge(known: NDArray[np.floating], labels: Indices, films: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return what a ridge of the usual penalty says of films."""
    return np.asarray(ridge_scores(known, labels, films, PENALTY).argmax(axis=1))


def ridge_scores(
    known: NDArray[np.floating], labels: Indices, films: NDArray[np.floating], penalty: float
) -> NDArray[np.float64]:
    """Return how much each film is like each class to a ridge of a penalty."""
    (fitted,) = fit_path(known, indicators(labels, classes=3), [penalty])
    return fitted.scores(films)


MODELS: dict[str, Model] = {RIDGE: ridge, NEAREST: nearest_neighbour}


def held_out(model: Model, pool: Pool, units: Sequence[str], *, seed: int) -> NDArray[np.int64]:
    """Return what the model says of each image, having learned from the images of four fifths of the other units."""
    fold = patient_folds(units, pool.labels, seed=seed)
    said = np.zeros(len(pool.labels), np.int64)
    for held in np.unique(fold):
        inside = fold != held
        said[~inside] = model(pool.pixels[inside], pool.labels[inside], pool.pixels[~inside])
    return said


def leak(model: Model, pool: Pool, units: Sequence[str], *, seeds: int, among: NDArray[np.bool_] | None = None) -> Leak:
    """Return how much better the model looks where units are drawn one by one than where whole patients are.

    Args:
        model: learns and names.
        pool: the images.
        units: what the careless split draws: films, or images.
        seeds: how many draws of the folds to take the mean over.
        among: the images to judge; all where left out.
    """
    judged = np.ones(len(pool.labels), np.bool_) if among is None else among
    patients = find_patients(
        [name for name, is_in in zip(pool.patients, judged, strict=True) if is_in], pool.labels[judged]
    )
    sets = [
        FilmSet(
            np.tile(patients.of_film, seeds),
            np.tile(pool.labels[judged], seeds),
            np.concatenate([held_out(model, pool, drawn, seed=seed)[judged] for seed in range(seeds)]),
            models=seeds,
        )
        for drawn in (units, pool.patients)
    ]
    drawn = draw_recalls(sets, patients, classes=3, draws=DRAWS, seed=0)
    careless, honest = (float(np.mean(films.labels == films.predicted)) for films in sets)
    ends = interval(accuracy_draws(sets[0], drawn[0]) - accuracy_draws(sets[1], drawn[1]))
    return Leak(careless, honest, *ends)


def with_siblings(pool: Pool) -> NDArray[np.bool_]:
    """Return which images are of patients with more than one film."""
    films = {patient: set[str]() for patient in pool.patients}
    for patient, film in zip(pool.patients, pool.films, strict=True):
        films[patient].add(film)
    return np.array([len(films[patient]) > 1 for patient in pool.patients])


def own_patient_nearest(pool: Pool) -> NDArray[np.bool_]:
    """Return whether the nearest of four fifths of the other images is of the same patient, for each image."""
    patient = np.unique(np.array(pool.patients), return_inverse=True)[1]
    by_patient = Pool(pool.pixels, patient, pool.patients, pool.films)
    return np.asarray(held_out(nearest_neighbour, by_patient, pool.images, seed=0) == patient)


def with_copies(images: Images, copies: int) -> Pool:
    """Return normalized films and copies of them, made as augment makes them, all as 28 x 28 means."""
    frame = Frame(**images.facts["frame"])
    chain = AugmentParams(copies=copies).chain(frame)
    pixels, rows = [], []
    for row, data in images.folder.read_images(images.rows):
        film = pixels_of(row, data, frame)  # type: ignore[arg-type]  # rows of normalize
        drawn = chain.draws(row.film_id, copies)
        made = (chain.copy(film, *both) for both in zip(chain.matrix(drawn), chain.table(drawn), strict=True))
        pixels += [cells(image) for image in (film, *made)]
        rows += [row] * (copies + 1)
    return Pool(
        np.array(pixels),
        np.array([row.label_index for row in rows], np.int64),
        [str(row.group_id) for row in rows],
        [row.film_id for row in rows],
    )
