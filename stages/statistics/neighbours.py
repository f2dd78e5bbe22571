"""Films that might show one radiograph: the nearest of each by few numbers, plain and mirrored.

All films are compared with all, in blocks, by 38 numbers each. The numbers are whitened, since what all chests share
fills the lowest frequencies of every film, and what tells them apart does not (Jegou and Chum, ECCV 2012).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAREST = 8  # films that are looked at for each film, as they are and as many mirrored ones
WAVES = 7  # frequencies each way
HIGHEST = 8  # sum of the frequencies of both ways
LEAST_LIKELY = 0.4  # correlation of whitened numbers; a film and its crop by 5 % at all sides have 0.65 and more
ROWS, COLUMNS = 256, 4096  # films compared at once: a block of products takes 4 MB
FEW = 64  # films of which all pairs are looked at
FLAT = 0.5  # standard deviation in grey levels from which a film is not blank
USUAL = 0.15  # spread of frequency f among chest films is about USUAL / f of a film's contrast (5,840 of Kermany's)
LEAST_SPREAD = 0.25  # of the usual: films that are all but one are not told apart by noise
SHARED = 1.0  # weight of what all films share, so that films without a difference are near one another

Numbers = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs that might show one radiograph, each once.

    Attributes:
        first, second: places of the films, first < second.
        mirrored: whether one of them is mirrored.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    mirrored: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return how many pairs there are."""
        return len(self.first)

    def take(self, places: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Candidates:
        """Return some of the pairs."""
        return Candidates(self.first[places], self.second[places], self.mirrored[places])

    def and_(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Candidates:
        """Return these pairs and some more, of films as they are."""
        return Candidates(
            np.concatenate([self.first, first]),
            np.concatenate([self.second, second]),
            np.concatenate([self.mirrored, np.zeros(len(first), np.bool_)]),
        )


def frequencies(small: Numbers) -> Numbers:
    """Return the lowest frequencies of films' cosine transform, as shares of their contrast; of a blank film, zeros.

    DCT-II (Ahmed, Natarajan and Rao, IEEE Transactions on Computers C-23, 1974).

    Args:
        small: (films, side, side) grey levels.
    """
    side = small.shape[1]
    frequency, place = np.arange(WAVES)[:, None], np.arange(side)[None, :]
    waves = (np.cos(np.pi * frequency * (2 * place + 1) / (2 * side)) * np.sqrt(2 / side)).astype(np.float32)
    across, down = _waves()
    found = (waves @ small @ waves.T)[:, down, across]
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(np.where(lengths < FLAT * side, 0, found / np.maximum(lengths, 1e-6)), np.float32)


def candidates(lowest: Numbers) -> Candidates:
    """Return the pairs of films that are nearest to one another; of few films, all pairs, plain and mirrored.

    Args:
        lowest: (films, numbers) their `frequencies`.
    """
    seen = np.flatnonzero(lowest.any(axis=1))
    if len(seen) <= FEW:
        one, other = np.triu_indices(len(seen), 1)
        plain = mirrored = one * len(seen) + other
    else:
        films, of_mirrored = _whitened(lowest[seen])
        plain, mirrored = nearest(films, films), nearest(films, of_mirrored)
    pairs = np.concatenate([plain, mirrored])
    return Candidates(seen[pairs // len(seen)], seen[pairs % len(seen)], np.arange(len(pairs)) >= len(plain))


def nearest(films: Numbers, others: Numbers) -> NDArray[np.int64]:
    """Return the pairs of which one is among the NEAREST of the other, sorted.

    Args:
        films: (films, numbers) unit vectors.
        others: the same films' vectors, plain or mirrored.

    Returns:
        A number for each pair: the place of its first film x films + the place of its second.
    """
    number = len(films)
    likeness = np.full((number, NEAREST), LEAST_LIKELY, np.float32)
    partner = np.full((number, NEAREST), -1, np.int32)
    for start in range(0, number, ROWS):
        rows = slice(start, start + ROWS)
        for other in range(start, number, COLUMNS):
            columns = slice(other, other + COLUMNS)
            product = films[rows] @ others[columns].T
            if other == start:
                product[np.tril_indices(len(product), m=product.shape[1])] = -1  # each pair once, none with itself
            row, column = np.nonzero(product > np.minimum(likeness[rows, -1:], likeness[columns, -1]))
            alike = product[row, column]
            _remember(likeness, partner, row + start, column + other, alike)
            _remember(likeness, partner, column + other, row + start, alike)
    known = partner >= 0
    pairs = np.sort(np.stack([np.nonzero(known)[0], partner[known]], axis=1), axis=1)
    return np.unique(pairs[:, 0].astype(np.int64) * number + pairs[:, 1])


def _remember(
    likeness: Numbers,
    partner: NDArray[np.int32],
    film: NDArray[np.int64],
    other: NDArray[np.int64],
    alike: Numbers,
) -> None:
    """Put the second film of each pair among the nearest that are known of its first, where it is one of them.

    Args:
        likeness: (films, NEAREST) of each film's nearest, in falling order; changed in place.
        partner: which films they are, -1 where fewer are known; changed in place.
        film: (pairs,) the first film.
        other: (pairs,) the second film.
        alike: (pairs,) their likeness.
    """
    nearer = alike > likeness[film, -1]
    film, other, alike = film[nearer], other[nearer], alike[nearer]
    order = np.lexsort((other, -alike, film))
    film, other, alike = film[order], other[order], alike[order]
    films, starts = np.unique(film, return_index=True)
    rank = np.arange(len(film)) - np.repeat(starts, np.diff([*starts, len(film)]))
    row = np.repeat(np.arange(len(films)), np.diff([*starts, len(film)]))
    kept = rank < NEAREST
    new_likeness = np.full((len(films), NEAREST), LEAST_LIKELY, np.float32)
    new_partner = np.full((len(films), NEAREST), -1, np.int32)
    new_likeness[row[kept], rank[kept]], new_partner[row[kept], rank[kept]] = alike[kept], other[kept]
    both = np.concatenate([likeness[films], new_likeness], axis=1)
    partners = np.concatenate([partner[films], new_partner], axis=1)
    best = np.argsort(-both, axis=1, kind="stable")[:, :NEAREST]
    likeness[films], partner[films] = (np.take_along_axis(of, best, axis=1) for of in (both, partners))


def _whitened(lowest: Numbers) -> tuple[Numbers, Numbers]:
    """Return unit vectors of films, and of the mirrored films: the odd waves across change their sign."""
    across, down = _waves()
    usual = (USUAL / np.hypot(across, down)).astype(np.float32)
    odd = (1 - 2 * (across % 2)).astype(np.float32)
    spread = np.maximum(lowest.std(axis=0), LEAST_SPREAD * usual)
    middle = lowest.mean(axis=0)
    return _unit((lowest - middle) / spread), _unit((lowest * odd - middle) / spread)


def _unit(differences: Numbers) -> Numbers:
    """Return vectors of length 1: the differences, and behind them what all films share."""
    shared = np.full((len(differences), 1), SHARED, np.float32)
    vectors = np.concatenate([differences, shared], axis=1)
    vectors /= np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return vectors


def _waves() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the frequencies that are looked at, across and down; the mean grey level is none of them."""
    down, across = np.nonzero(np.add.outer(np.arange(WAVES), np.arange(WAVES)) <= HIGHEST)
    return across[1:], down[1:]
