"""Near duplicates: the same radiograph in other bytes, found by the correlation of thumbnails.

Chest films all look alike, so a fixed threshold of a perceptual hash fails on them. Here the threshold comes
from the films at hand: films of different patients tell how alike two films are that are not the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

SIDE = 32  # a thumbnail's height and width
BLOCK = 2048  # films compared at once: a block of correlations takes 16 MB
LEAST = 0.99  # below, a pair is never called the same radiograph, however unlike the other films are
MOST = 0.998  # from here on, a pair is always called the same radiograph, and tells nothing of different ones
FALSE_PAIRS = 0.5  # expected number of pairs of different patients above the threshold


class Vectors(Protocol):
    """Unit vectors of films whose products are correlations, some of them at a time; an array will do."""

    def __len__(self) -> int: ...
    def __getitem__(self, films: Any, /) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The vectors of thumbnails, made when they are asked for: at 50,000 films all of them take 200 MB.

    Attributes:
        thumbnails: grey levels, shape (n, SIDE x SIDE).
    """

    thumbnails: NDArray[np.uint8]

    def __len__(self) -> int:
        """Return how many films there are."""
        return len(self.thumbnails)

    def __getitem__(self, films: Any, /) -> NDArray[np.float32]:
        """Return the vectors of some films; a blank film gives zeros and so correlates with nothing.

        Args:
            films: a slice or an array of indices.
        """
        levels = self.thumbnails[films].astype(np.float32)
        levels -= levels.mean(axis=1, keepdims=True)
        lengths = np.linalg.norm(levels, axis=1, keepdims=True)
        return np.asarray(levels / np.where(lengths == 0, 1, lengths), np.float32)


def calibrated_threshold(vectors: Vectors, groups: Sequence[str], *, seed: int = 0) -> float | None:
    """Return the correlation above which pairs of different patients hardly ever come.

    Each film's nearest neighbour among the films of other groups is a draw of the largest of n correlations.
    Duplicates hidden among them would pull a plain maximum up, so the tail is read off the middle: Fisher's
    z = artanh(r) of nearest neighbours is fitted by a Gumbel distribution through its quartiles (extreme value
    of a bounded number of bell-shaped draws), and the threshold lets FALSE_PAIRS of n films exceed it. A set that
    is there twice over would still move the middle: so neighbours from MOST on are no draws.

    Returns:
        The threshold, from LEAST to MOST; None where there are too few groups to tell (below 8).
    """
    if len(set(groups)) < 8:
        return None
    nearest = nearest_other_group(vectors, groups, seed=seed)
    z = np.arctanh(np.clip(nearest, -0.999999, 0.999999))
    low, high = np.quantile(z, [0.25, 0.75])
    # quartiles of the standard Gumbel: -ln(-ln q)
    spread = (high - low) / (-np.log(-np.log(0.75)) + np.log(-np.log(0.25)))
    middle = low + spread * np.log(-np.log(0.25))
    tail = FALSE_PAIRS / len(nearest)
    return float(np.clip(np.tanh(middle - spread * np.log(-np.log1p(-tail))), LEAST, MOST))


def nearest_other_group(
    vectors: Vectors, groups: Sequence[str], *, seed: int, sample: int = 2000
) -> NDArray[np.float32]:
    """Return the largest correlation below MOST with a film of another group, of at most `sample` films."""
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    chosen = np.random.Generator(np.random.Philox(key=seed)).permutation(len(codes))[:sample]
    nearest = np.full(len(chosen), -1.0, np.float32)
    sampled = vectors[chosen]
    for start in range(0, len(codes), BLOCK):
        block = slice(start, start + BLOCK)
        correlation = sampled @ vectors[block].T
        correlation[(codes[chosen][:, None] == codes[block][None, :]) | (correlation >= MOST)] = -1
        nearest = np.maximum(nearest, correlation.max(axis=1))
    return nearest


def pairs_above(vectors: Vectors, threshold: float) -> Iterator[tuple[int, int]]:
    """Yield the pairs (first, second), first < second, whose correlation reaches the threshold."""
    for start in range(0, len(vectors), BLOCK):
        rows = vectors[start : start + BLOCK]
        for other in range(start, len(vectors), BLOCK):
            correlation = rows @ vectors[other : other + BLOCK].T
            found = np.argwhere(correlation >= threshold) + np.array([start, other])
            yield from map(tuple, found[found[:, 0] < found[:, 1]].tolist())
