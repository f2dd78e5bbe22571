"""Which films lie askew in their set: turned by quarters, inverted, or like no other film.

A film is the unit vector x of a thumbnail's grey levels about their mean. Eight changes g are looked for: four turns,
inverted or not. Weights w are fitted by least squares so that w . x is 1 for films as they should be and 0 for the
same films changed in the other seven ways:

    w = (G + SHRUNK tr(G) / d I)^-1 mean(x),    G = sum over g of mean(g x (g x)^T)

(Fisher's linear discriminant as a regression: Hastie, Tibshirani and Friedman, Elements of Statistical Learning,
chapter 4). A film is taken for the change under which w scores it highest.

Films of the set are changed themselves, so which are as they should be is found in rounds: by weights fitted to a
reference first, then to the set's own films, each changed back, without the fifth that is least like the others. The
reference decides what is upright, however many films of the set are not.

How unlike the set a film is: its distance from the plane of the set's mean film and AXES principal components, under
the change that brings it nearest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.statistics.alignment import Thumbnails

GRID = 16  # a film's height and width here: large shapes tell up from down, details differ from film to film
SAMPLE = 2048  # films that the set's mean is made of: 2 MB, as it is changed once more
BLOCK = 1024  # films scored at once
ROUNDS = 4  # after the first, some films in a thousand change
KEPT = 0.8  # share of the sample, the most alike, that the mean is made of
LEAST_SPREAD = 1e-3  # of distances, below which films do not differ but by rounding; chest films have 0.03 and more
SHRUNK = 1.0
AXES = 8
TURNS = 4
CHANGES = 2 * TURNS  # the first four turn clockwise by none to three quarters, the others invert as well
UPRIGHT = 0

Films = NDArray[np.float32]  # (films, GRID x GRID)
Square = NDArray[np.float64]  # (GRID x GRID, GRID x GRID)


@dataclass(frozen=True, slots=True)
class MeanFilm:
    """What the films of a set have in common.

    Attributes:
        weights: w, (GRID x GRID,).
        mean: of the films, each changed back, (GRID x GRID,).
        axes: principal components, (AXES, GRID x GRID).
        margin: by how much the score of a film's best change usually exceeds that of the next best.
        distances: median and upper quartile of how far films lie from a plane that they had no part in.
        likeness: median correlation of the films, each changed back, with the reference's mean.
        films: how many they are.
    """

    weights: Films
    mean: Films
    axes: Films
    margin: float
    distances: tuple[float, float]
    likeness: float
    films: int


@dataclass(frozen=True, slots=True)
class Bearings:
    """How films lie.

    Attributes:
        change: (films,) the change that explains each film best.
        lead: (films,) by how much its score exceeds that of UPRIGHT, in units of the usual margin.
        distance: (films,) how far from the set's plane each lies: above the median, in units of the upper quartile's
            distance from the median.
        compared: films that they were compared with.
    """

    change: NDArray[np.intp]
    lead: NDArray[np.float32]
    distance: NDArray[np.float32]
    compared: int


def unit_films(levels: NDArray[np.uint8]) -> Films:
    """Return the unit vectors of thumbnails, GRID x GRID of them; a blank one gives zeros."""
    side = round(levels.shape[1] ** 0.5)
    block = side // GRID
    assert block * GRID == side, f"a thumbnail of {side} x {side} has no {GRID} x {GRID} equal blocks"
    means = levels.reshape(-1, GRID, block, GRID, block).mean(axis=(2, 4), dtype=np.float32).reshape(-1, GRID * GRID)
    means -= means.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return np.asarray(means / np.where(lengths == 0, 1, lengths), np.float32)


def changed(films: Films, change: int) -> Films:
    """Return films that are turned and inverted as a change says."""
    squares = np.rot90(films.reshape(-1, GRID, GRID), -(change % TURNS), axes=(1, 2))
    flat = np.ascontiguousarray(squares).reshape(len(films), GRID * GRID)
    return flat if change < TURNS else -flat


def undone(films: Films, change: int) -> Films:
    """Return films of which a change is taken back."""
    return changed(films, -change % TURNS + (TURNS if change >= TURNS else 0))


def fit(thumbnails: Thumbnails, films: NDArray[np.intp], reference: NDArray[np.uint8], *, seed: int = 0) -> MeanFilm:
    """Return what some films of a set have in common, of at most SAMPLE of them.

    Args:
        thumbnails: of the set.
        films: the places of those that count.
        reference: grey levels of films that are upright for certain, (n, side x side).
        seed: of the sample.
    """
    chosen = np.random.Generator(np.random.Philox(key=seed)).permutation(len(films))[:SAMPLE]
    sample, upright = unit_films(thumbnails[np.sort(films[chosen])]), unit_films(reference)
    towards = upright.mean(axis=0)
    aligned = _aligned(sample, _weights(upright))
    like = aligned @ (towards / np.linalg.norm(towards))
    kept = aligned[like >= np.quantile(like, 1 - KEPT)]
    for _ in range(ROUNDS):
        mean, axes = _plane(kept, upright)
        weights = _weights(np.concatenate([kept, upright]))
        aligned = _aligned(sample, weights)
        far = _distance(aligned, mean, axes)
        kept = aligned[far <= np.quantile(far, KEPT)]
    scores = np.sort(_scores(sample, weights), axis=1)
    middle, upper = np.quantile(_held_out(aligned, far, upright), [0.5, 0.75])
    margin = float(np.median(scores[:, -1] - scores[:, -2]))
    return MeanFilm(weights, mean, axes, margin, (float(middle), float(upper)), float(np.median(like)), len(films))


def _held_out(aligned: Films, far: Films, reference: Films) -> Films:
    """Return how far each half of the films lies from the plane of the other half: small sets fit their own too well.

    Args:
        aligned: films, each changed back.
        far: their distance from the plane of all, by which a half leaves out its fifth.
        reference: films that are upright for certain.
    """
    halves = (slice(0, None, 2), slice(1, None, 2))
    found = []
    for half, other in (halves, halves[::-1]):
        kept = aligned[half][far[half] <= np.quantile(far[half], KEPT)]
        found.append(_distance(aligned[other], *_plane(kept, reference)))
    return np.concatenate(found)


def bearings(thumbnails: Thumbnails, films: NDArray[np.intp], mean_film: MeanFilm) -> Bearings:
    """Return how some films of a set lie."""
    blocks = list(_bearings(thumbnails, films, mean_film))
    change, lead, distance = (np.concatenate(found) for found in zip(*blocks, strict=True))
    return Bearings(change, lead, distance, mean_film.films)


def _bearings(thumbnails: Thumbnails, films: NDArray[np.intp], mean_film: MeanFilm) -> Iterator[tuple[Any, ...]]:
    middle, upper = mean_film.distances
    spread = max(upper - middle, LEAST_SPREAD)
    for start in range(0, max(1, len(films)), BLOCK):
        some = unit_films(thumbnails[films[start : start + BLOCK]])
        scores = _scores(some, mean_film.weights)
        lead = (scores.max(axis=1) - scores[:, UPRIGHT]) / mean_film.margin
        far = _nearest(some, mean_film.mean, mean_film.axes)
        yield scores.argmax(axis=1), lead, (far - middle) / spread


def _weights(films: Films) -> Films:
    """Return what scores films 1 and their changes 0, by ridge regression."""
    products = films.T.astype(np.float64) @ films / len(films)
    every: Square = 2 * np.sum([_turned(products, turn) for turn in range(TURNS)], axis=0)  # the inverted have the same
    ridge = SHRUNK * np.trace(every) / len(every) * np.eye(len(every))
    return np.asarray(np.linalg.solve(every + ridge, films.mean(axis=0)), np.float32)


def _turned(products: Square, turn: int) -> Square:
    """Return the products of films' levels, as they are when the films are turned."""
    places = np.rot90(np.arange(GRID * GRID).reshape(GRID, GRID), -turn).ravel()
    return products[np.ix_(places, places)]


def _plane(films: Films, reference: Films) -> tuple[Films, Films]:
    """Return the mean of films and the principal components of them and a reference."""
    both = np.concatenate([films, reference]).astype(np.float64)
    _, vectors = np.linalg.eigh(np.cov(both, rowvar=False))
    return films.mean(axis=0), np.asarray(vectors[:, : -AXES - 1 : -1].T, np.float32)


def _scores(films: Films, weights: Films) -> Films:
    """Return the score of each film under each change, (films, CHANGES)."""
    turns = np.concatenate([changed(weights[None], turn) for turn in range(TURNS)])
    upright = films @ turns.T
    return np.concatenate([upright, -upright], axis=1)


def _aligned(films: Films, weights: Films) -> Films:
    """Return films of which the change that explains each best is taken back."""
    best, aligned = _scores(films, weights).argmax(axis=1), np.empty_like(films)
    for change in range(CHANGES):
        aligned[best == change] = undone(films[best == change], change)
    return aligned


def _distance(films: Films, mean: Films, axes: Films) -> Films:
    """Return how far films lie from a plane."""
    away = films - mean
    squares = np.einsum("ij,ij->i", away, away) - np.einsum("ij,ij->i", away @ axes.T, away @ axes.T)
    return np.asarray(np.sqrt(np.maximum(squares, 0)), np.float32)


def _nearest(films: Films, mean: Films, axes: Films) -> Films:
    """Return how far films lie from a plane under the change that brings each nearest."""
    every = [_distance(undone(films, change), mean, axes) for change in range(CHANGES)]
    return np.asarray(np.min(every, axis=0), np.float32)
