"""Near duplicates: the same radiograph in other bytes, however it was compressed, resized, cropped or mirrored.

Chest films all look alike, so a fixed threshold of a perceptual hash fails on them. Each film's nearest films are found
by few numbers (`neighbours`), laid over it (`alignment`), and judged by how well their details agree then. How well
details of different patients agree at most is told by the films at hand.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stages.statistics.alignment import COARSE, LEVELS, PIXELS, Fields, Laid, Thumbnails, details, laid_over, shrunk
from stages.statistics.neighbours import Candidates, candidates, frequencies

ROWS_AT_ONCE = 512  # films that are looked at at once: 8 MB of levels and fields
PAIRS_AT_ONCE = 256  # pairs laid over one another at once: 4 MB a field
THREADS = 2  # that lay pairs, most of it outside of Python's lock; each holds the fields of its pairs
LEAST = 0.92  # below, a pair is never called the same radiograph, however unlike the other films are
MOST = 0.95  # from here on, a pair is always called the same radiograph, and tells nothing of different ones
USUAL = 0.92  # where the films do not tell; among 5,840 films of Kermany's, different ones reach 0.9
SIBLINGS_MOST = 0.99  # as MOST, of two films of one patient
SIBLINGS_USUAL = 0.98  # as USUAL; drawn patients, who stand as still as no child, reach 0.972
FEWEST = 8  # patients, and films, that tell a threshold
SAMPLE = 256  # films whose most similar ones of other groups tell the threshold
TRIED = 3  # of each: the first may be a hidden duplicate
FALSE_PAIRS = 0.01  # expected number of films, in the whole set, that reach the threshold with another patient's
NORMAL = NormalDist()
DEPTH = 40  # whole numbers of a coarse field per unit

Source = Literal["films", "least", "most", "usual"]


@dataclass(frozen=True, slots=True)
class Looks:
    """What is compared of films.

    Attributes:
        thumbnails: of all films.
        films: the places of those that are compared.
        lowest: (films, numbers) their lowest frequencies.
        coarse: (films, 16, 16) their details in whole numbers: 256 bytes a film.
        order: a number made of each film's details: the film with the lower one lies below in any pair, wherever in the
            set the two stand.
        same: (films,) the first film with the same thumbnail, level by level; a film that has its own is itself.
    """

    thumbnails: Thumbnails
    films: NDArray[np.intp]
    lowest: NDArray[np.float32]
    coarse: NDArray[np.int8]
    order: NDArray[np.int64]
    same: NDArray[np.int64]

    @classmethod
    def of(cls, thumbnails: Thumbnails, films: NDArray[np.intp]) -> Looks:
        """Look at some films, in passing over them once."""
        side = COARSE.side
        lowest = np.empty((len(films), frequencies(np.ones((1, side, side), np.float32)).shape[1]), np.float32)
        coarse = np.empty((len(films), side, side), np.int8)
        hashes = np.empty(len(films), np.uint64)
        for at in range(0, len(films), ROWS_AT_ONCE):
            some = slice(at, at + ROWS_AT_ONCE)
            levels = thumbnails[films[some]]
            lowest[some] = frequencies(shrunk(levels, side))
            coarse[some] = np.rint(DEPTH * details(levels, side))
            hashes[some] = (levels.view(np.uint64) * _keys()).sum(axis=1, dtype=np.uint64)  # overflow is meant
        order = coarse.reshape(len(films), side * side) @ np.arange(side * side, dtype=np.int32)
        same = _first_alike(hashes, lowest, thumbnails, films)
        return cls(thumbnails, films, lowest, coarse, order.astype(np.int64), same)

    def levels(self, films: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return the grey levels of some of the films."""
        return self.thumbnails[self.films[films]]

    def details(self, films: NDArray[np.intp], side: int) -> Fields:
        """Return the details of some of the films."""
        if side == COARSE.side:
            return self.coarse[films].astype(np.float32)
        each, place = np.unique(films, return_inverse=True)  # a film is in several pairs
        return details(self.levels(each), side)[place]


@cache
def _keys() -> NDArray[np.uint64]:
    """Return odd numbers, one for each eight levels: products with them, added up, are a hash (Dietzfelbinger 1996)."""
    return np.random.Philox(key=0).random_raw(PIXELS // 8) | np.uint64(1)


def _first_alike(
    hashes: NDArray[np.uint64], lowest: NDArray[np.float32], thumbnails: Thumbnails, films: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Return for each film the first one with the same thumbnail; a blank film is like no other."""
    _, first, place = np.unique(hashes, return_index=True, return_inverse=True)
    same = np.where(lowest.any(axis=1), first[place], np.arange(len(films)))
    again = np.flatnonzero(same != np.arange(len(films)))
    for at in range(0, len(again), ROWS_AT_ONCE):  # two thumbnails may have one hash
        some = again[at : at + ROWS_AT_ONCE]
        alike = (thumbnails[films[some]] == thumbnails[films[same[some]]]).all(axis=1)
        same[some] = np.where(alike, same[some], some)
    return same.astype(np.int64)


def mirrored_where(fields: Fields, which: NDArray[np.bool_]) -> Fields:
    """Return fields, mirrored left to right where they are to be, (films,)."""
    return np.where(which[:, None, None], fields[:, :, ::-1], fields)


@dataclass(frozen=True, slots=True)
class LookedAt:
    """Pairs of films that are looked at: the one whose look comes first in `Looks.order` lies under the other."""

    looks: Looks
    pairs: Candidates

    def __len__(self) -> int:
        """Return how many pairs there are."""
        return len(self.pairs)

    def details(self, pairs: NDArray[np.intp], side: int) -> tuple[Fields, Fields]:
        """Return the details of both films of some pairs."""
        one, other, mirrored = self.placed(pairs)
        return self.looks.details(one, side), mirrored_where(self.looks.details(other, side), mirrored)

    def placed(self, pairs: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Return which film of some pairs lies below, which above, and whether that one is mirrored."""
        first, second, order = self.pairs.first[pairs], self.pairs.second[pairs], self.looks.order
        swapped = order[first] > order[second]
        return np.where(swapped, second, first), np.where(swapped, first, second), self.pairs.mirrored[pairs]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The agreement from which two films show one radiograph.

    Attributes:
        agreement: the threshold itself.
        source: `films` where the films at hand told it, `least` or `most` where they told one below LEAST or above
            MOST, `usual` where they could not tell it.
        told: what the films told, before LEAST and MOST bound it; None where they could not.
        films: how many of them told it.
        siblings: the agreement from which two films of one patient show one radiograph.
    """

    agreement: float
    source: Source
    told: float | None = None
    films: int = 0
    siblings: float = SIBLINGS_USUAL


@dataclass(frozen=True, slots=True)
class Twins:
    """Pairs of films that show one radiograph.

    Attributes:
        pairs: which.
        threshold: from which agreement.
        looked_at: how many pairs were laid over one another.
    """

    pairs: Candidates
    threshold: Threshold
    looked_at: int


def twins(looks: Looks, groups: ArrayLike, *, seed: int = 0) -> Twins:
    """Return the pairs of films that show one radiograph.

    Films with the same thumbnail are one radiograph, whatever the threshold; only the first of them is compared with
    others.

    Args:
        looks: of the films.
        groups: (films,) each film's patient.
        seed: of the sample that tells the threshold.
    """
    patients = np.asarray(groups)
    is_first = looks.same == np.arange(len(looks.films))
    firsts, again = np.flatnonzero(is_first), np.flatnonzero(~is_first)
    found = candidates(looks.lowest[firsts])
    near = Candidates(firsts[found.first], firsts[found.second], found.mirrored)
    apart = patients[near.first] != patients[near.second]
    few = len(np.unique(patients)) < FEWEST
    threshold = Threshold(USUAL, "usual") if few else calibrated(looks, near, apart, seed=seed)
    agreement = laid(looks, near).agreement
    alike = near.take(agreement >= np.where(apart, threshold.agreement, threshold.siblings))
    return Twins(alike.and_(looks.same[again], again), threshold, len(near))


def laid(looks: Looks, pairs: Candidates, *, thorough: bool = False, coarse: bool = False) -> Laid:
    """Return pairs laid over one another, some at a time.

    Args:
        looks: of the films.
        pairs: of them.
        thorough: whether none is told apart on the way.
        coarse: whether the finest level is left out.
    """
    levels = LEVELS[:-1] if coarse else LEVELS
    moves, agreement = np.empty((len(pairs), 4), np.float32), np.empty(len(pairs), np.float32)

    def lay(some: slice) -> None:
        found = laid_over(LookedAt(looks, pairs.take(some)), levels, thorough=thorough)
        moves[some], agreement[some] = found.moves, found.agreement

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lay, [slice(at, at + PAIRS_AT_ONCE) for at in range(0, len(pairs), PAIRS_AT_ONCE)]))
    return Laid(moves, agreement)


def calibrated(looks: Looks, near: Candidates, apart: NDArray[np.bool_], *, seed: int = 0) -> Threshold:
    """Return the agreement above which films of different patients hardly ever come, and that for films of one patient.

    The best agreement of a film with a film of another patient is a draw. Fisher's z = artanh(r) of the draws is
    close to normal (Fisher, Metron 1, 1921; measured in docs/audit-duplicates.md), and the threshold is its quantile
    that FALSE_PAIRS of all films exceed. Duplicates hidden among them would pull mean and deviation up, so both come
    from the quartiles. Pairs from MOST on are no draws: a set that is there twice over tells what it would tell alone.
    Films of one patient tell theirs in the same way, and it is never less than the one for different patients.

    Args:
        looks: of the films.
        near: pairs of them.
        apart: whether the films of each pair are of different patients.
        seed: of the sample.
    """
    draws = _best(looks, near.take(apart), seed, MOST)
    siblings = _told(_best(looks, near.take(~apart), seed, SIBLINGS_MOST), len(looks.films))
    told = _told(draws, len(looks.films))
    if told is None:
        return Threshold(USUAL, "usual")
    source: Source = "least" if told < LEAST else "most" if told > MOST else "films"
    agreement = float(np.clip(told, LEAST, MOST))
    of_siblings = SIBLINGS_USUAL if siblings is None else float(np.clip(siblings, agreement, SIBLINGS_MOST))
    return Threshold(agreement, source, told, len(draws), of_siblings)


def _told(draws: NDArray[np.float32], films: int) -> float | None:
    """Return the agreement that FALSE_PAIRS of so many films exceed, by draws of it; None where they are too few."""
    if len(draws) < FEWEST:
        return None
    low, middle, high = np.quantile(np.arctanh(np.clip(draws, -0.9999, 0.9999)), [0.25, 0.5, 0.75])
    spread = (high - low) / (NORMAL.inv_cdf(0.75) - NORMAL.inv_cdf(0.25))
    return float(np.tanh(middle + spread * NORMAL.inv_cdf(1 - FALSE_PAIRS / films)))


def _best(looks: Looks, near: Candidates, seed: int, most: float) -> NDArray[np.float32]:
    """Return, of each of SAMPLE films that has any, the best agreement below `most` in its pairs."""
    sampled = np.zeros(len(looks.films), np.bool_)
    sampled[np.random.Generator(np.random.Philox(key=seed)).permutation(len(sampled))[:SAMPLE]] = True
    near = near.take(sampled[near.first] | sampled[near.second])
    promising = laid(looks, near, thorough=True, coarse=True).agreement
    film = np.where(sampled[near.first], near.first, near.second)
    order = np.lexsort((-promising, film))
    rank = np.arange(len(order)) - np.searchsorted(film[order], film[order])
    tried = order[rank < TRIED]
    found = laid(looks, near.take(tried), thorough=True).agreement
    best = np.full(len(looks.films), -1, np.float32)
    np.maximum.at(best, film[tried], np.where(found < most, found, -1))
    return best[best > -1]
