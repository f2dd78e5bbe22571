"""What tells two films of one radiograph apart: whether one was cropped, mirrored, or made brighter or darker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.statistics.alignment import SIDE, apart
from stages.statistics.duplicates import PAIRS_AT_ONCE, LookedAt, Looks, laid, mirrored_where
from stages.statistics.neighbours import Candidates


@dataclass(frozen=True, slots=True)
class Difference:
    """What tells one film of each pair from the other, (pairs,) each.

    Attributes:
        agreement: correlation of details.
        mirrored: whether one is mirrored.
        border: the farthest that a border moved, as a share of the side.
        grey: mean difference in grey levels where both show film.
        same: whether the thumbnails are the same, level by level; nothing else tells them apart then.
    """

    agreement: NDArray[np.float32]
    mirrored: NDArray[np.bool_]
    border: NDArray[np.float32]
    grey: NDArray[np.float32]
    same: NDArray[np.bool_]


def difference(looks: Looks, first: NDArray[np.intp], second: NDArray[np.intp]) -> Difference:
    """Return what tells the first film of each pair from the second, laid over one another the way that fits better.

    Args:
        looks: of all films.
        first: (pairs,) the places of the films in `looks`.
        second: (pairs,) those of the films that they are compared with.
    """
    pairs, differ = len(first), np.flatnonzero(looks.same[first] != looks.same[second])
    told = _laid_difference(looks, first[differ], second[differ])
    agreement, border, grey = np.ones(pairs, np.float32), np.zeros(pairs, np.float32), np.zeros(pairs, np.float32)
    mirrored, same = np.zeros(pairs, np.bool_), np.ones(pairs, np.bool_)
    agreement[differ], border[differ], grey[differ] = told.agreement, told.border, told.grey
    mirrored[differ], same[differ] = told.mirrored, False
    return Difference(agreement, mirrored, border, grey, same)


def _laid_difference(looks: Looks, first: NDArray[np.intp], second: NDArray[np.intp]) -> Difference:
    """Return `difference` of films whose thumbnails are not the same."""
    ways = [Candidates(first, second, np.full(len(first), mirrored)) for mirrored in (False, True)]
    plain, mirrored = (laid(looks, way, thorough=True, coarse=True).agreement for way in ways)
    pairs = Candidates(first, second, mirrored > plain)
    found = laid(looks, pairs, thorough=True)
    stretch, shift = found.moves[:, ::2], found.moves[:, 1::2]
    # a border moves by shift + stretch or shift - stretch, in half sides: the larger of both
    border = (np.abs(stretch) + np.abs(shift)).max(axis=1, initial=0) / 2
    grey = np.empty(len(pairs), np.float32)
    for at in range(0, len(pairs), PAIRS_AT_ONCE):
        some = np.arange(at, min(at + PAIRS_AT_ONCE, len(pairs)))
        one, other, is_mirrored = LookedAt(looks, pairs).placed(some)
        squares = (looks.levels(film).reshape(-1, SIDE, SIDE).astype(np.float32) for film in (one, other))
        grey[some] = apart(next(squares), mirrored_where(next(squares), is_mirrored), found.moves[some])
    return Difference(found.agreement, pairs.mirrored, border, grey, np.zeros(len(pairs), np.bool_))
