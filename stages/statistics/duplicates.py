"""Near duplicates: the same radiograph in other bytes, found by the correlation of thumbnails.

Chest films all look alike, so a fixed threshold of a perceptual hash fails on them. Here the threshold comes
from the films at hand: films of different patients tell how alike two films are that are not the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

SIDE = 32  # a thumbnail's height and width
BLOCK = 2048  # films compared at once: a block of correlations takes 16 MB
NEIGHBOURS = 1024  # films among which nearest ones are sought at once: 8 MB of correlations with the sample
ROWS_AT_ONCE = 256  # films whose levels become vectors at once: 1 MB
LEAST = 0.99  # below, a pair is never called the same radiograph, however unlike the other films are
MOST = 0.998  # from here on, a pair is always called the same radiograph, and tells nothing of different ones
WAVES = 8  # frequencies each way by which pairs that cannot be near duplicates are told
HALF_PRECISION = 2.0**-10  # how far two projections of length 1 at most may move apart, or together, by rounding
ROUNDING = 1e-5  # of products of such vectors in single precision, and more
FALSE_PAIRS = 0.5  # expected number of pairs of different patients above the threshold


class Vectors(Protocol):
    """Unit vectors of films whose products are correlations, some of them at a time; an array will do."""

    def __len__(self) -> int: ...
    def __getitem__(self, films: Any, /) -> NDArray[np.float32]: ...


class Thumbnails(Protocol):
    """Grey levels of films, SIDE x SIDE of each, some of them at a time; an array will do."""

    def __len__(self) -> int: ...
    def __getitem__(self, films: Any, /) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The vectors of thumbnails, made when they are asked for: at 50,000 films all of them take 200 MB.

    Attributes:
        thumbnails: grey levels, shape (n, SIDE x SIDE).
        films: the places of those that are compared.
    """

    thumbnails: Thumbnails
    films: NDArray[np.intp]

    def __len__(self) -> int:
        """Return how many films are compared."""
        return len(self.films)

    def __getitem__(self, films: Any, /) -> NDArray[np.float32]:
        """Return the vectors of some films; a blank film gives zeros and so correlates with nothing.

        Args:
            films: a slice or an array of indices.
        """
        wanted = self.films[films]
        vectors = np.empty((len(wanted), SIDE * SIDE), np.float32)
        for at in range(0, len(wanted), ROWS_AT_ONCE):
            some = slice(at, at + ROWS_AT_ONCE)
            levels = self.thumbnails[wanted[some]].astype(np.float32)
            levels -= levels.mean(axis=1, keepdims=True)
            lengths = np.linalg.norm(levels, axis=1, keepdims=True)
            np.divide(levels, np.where(lengths == 0, 1, lengths), out=vectors[some])
        return vectors


def calibrated_threshold(vectors: Vectors, groups: ArrayLike, *, seed: int = 0) -> float | None:
    """Return the correlation above which pairs of different patients hardly ever come.

    Each film's nearest neighbour among the films of other groups is a draw of the largest of n correlations.
    Duplicates hidden among them would pull a plain maximum up, so the tail is read off the middle: Fisher's
    z = artanh(r) of nearest neighbours is fitted by a Gumbel distribution through its quartiles (extreme value
    of a bounded number of bell-shaped draws), and the threshold lets FALSE_PAIRS of n films exceed it. A set that
    is there twice over would still move the middle: so neighbours from MOST on are no draws.

    Args:
        vectors: of the films.
        groups: each film's.
        seed: of the sample.

    Returns:
        The threshold, from LEAST to MOST; None where there are too few groups to tell (below 8).
    """
    if len(np.unique(groups)) < 8:
        return None
    nearest = nearest_other_group(vectors, groups, seed=seed)
    z = np.arctanh(np.clip(nearest, -0.999999, 0.999999))
    low, high = np.quantile(z, [0.25, 0.75])
    # quartiles of the standard Gumbel: -ln(-ln q)
    spread = (high - low) / (-np.log(-np.log(0.75)) + np.log(-np.log(0.25)))
    middle = low + spread * np.log(-np.log(0.25))
    tail = FALSE_PAIRS / len(nearest)
    return float(np.clip(np.tanh(middle - spread * np.log(-np.log1p(-tail))), LEAST, MOST))


def nearest_other_group(vectors: Vectors, groups: ArrayLike, *, seed: int, sample: int = 2000) -> NDArray[np.float32]:
    """Return the largest correlation below MOST with a film of another group, of at most `sample` films."""
    of_film = np.asarray(groups)
    chosen = np.random.Generator(np.random.Philox(key=seed)).permutation(len(of_film))[:sample]
    nearest = np.full(len(chosen), -1.0, np.float32)
    sampled = vectors[chosen]
    for start in range(0, len(of_film), NEIGHBOURS):
        block = slice(start, start + NEIGHBOURS)
        correlation = sampled @ vectors[block].T
        correlation[of_film[chosen][:, None] == of_film[block][None, :]] = -1
        correlation[correlation >= MOST] = -1
        nearest = np.maximum(nearest, correlation.max(axis=1))
        del correlation  # or it would be there until the next is
    return nearest


def pairs_above(vectors: Vectors, threshold: float) -> Iterator[tuple[int, int]]:
    """Yield the pairs (first, second), first < second, whose correlation reaches the threshold.

    All pairs are looked at, most of them in few dimensions alone: of unit vectors a and b and their projections Pa
    and Pb, a.b = 1 - |a - b|^2 / 2 <= 1 - |Pa - Pb|^2 / 2, so that a pair whose projections lie far apart cannot
    reach the threshold. No pair is missed for it.
    """
    low, half = _projections(vectors)
    slack = HALF_PRECISION * np.sqrt(2 * max(0.0, 1 - threshold)) + ROUNDING  # (d + e)^2 / 2 = d^2 / 2 + d e + ...
    for start in range(0, len(vectors), BLOCK):
        left = _joined(low[start : start + BLOCK], half[start : start + BLOCK], 1)
        for other in range(start, len(vectors), BLOCK):
            right = _joined(low[other : other + BLOCK], 1, half[other : other + BLOCK])
            bound = left @ right.T  # -|Pa - Pb|^2 / 2
            likely = np.argwhere(bound >= threshold - 1 - slack) + np.array([start, other])
            likely = likely[likely[:, 0] < likely[:, 1]]
            del bound  # as above
            for some in range(0, len(likely), BLOCK):
                pairs = likely[some : some + BLOCK]
                yield from map(tuple, pairs[_correlations(vectors, pairs) >= threshold].tolist())


def _correlations(vectors: Vectors, pairs: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the correlation of each pair; each film's vector is made once."""
    films, place = np.unique(pairs, return_inverse=True)
    known = vectors[films]
    one, other = known[place.reshape(pairs.shape).T]
    return np.asarray(np.einsum("ij,ij->i", one, other), np.float32)


def _projections(vectors: Vectors) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Return the vectors in few dimensions, shape (films, WAVES x WAVES), and -1/2 of their squared lengths.

    Projected is on the lowest frequencies of the cosine transform, where the energy of smooth films lies. They are
    what the search holds of each film, 132 bytes, since half precision will do for a bound.
    """
    waves = _low_frequencies()
    low = np.empty((len(vectors), len(waves)), np.float16)
    half = np.empty(len(vectors), np.float32)
    for at in range(0, len(vectors), BLOCK):
        low[at : at + BLOCK] = vectors[at : at + BLOCK] @ waves.T
        rounded = low[at : at + BLOCK].astype(np.float32)
        half[at : at + BLOCK] = -0.5 * np.einsum("ij,ij->i", rounded, rounded)
    return low, half


def _joined(low: NDArray[np.float16], one: Any, other: Any) -> NDArray[np.float32]:
    """Return projections with two numbers behind each."""
    joined = np.empty((len(low), low.shape[1] + 2), np.float32)
    joined[:, :-2], joined[:, -2], joined[:, -1] = low, one, other
    return joined


def _low_frequencies() -> NDArray[np.float32]:
    """Return the WAVES x WAVES lowest frequencies of a thumbnail's cosine transform, orthonormal, one a row.

    DCT-II (Ahmed, Natarajan and Rao, IEEE Transactions on Computers C-23, 1974).
    """
    frequency, place = np.arange(WAVES)[:, None], np.arange(SIDE)[None, :]
    waves = np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE)) * np.sqrt(2 / SIDE)
    waves[0] /= np.sqrt(2)
    return np.asarray(np.kron(waves, waves), np.float32)
