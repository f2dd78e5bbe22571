"""One radiograph or two: thumbnails laid over one another, and how well their details agree then.

Two chest films resemble each other in what all chests share. What tells them apart is detail, and detail can be
compared only where it lies on the same place. So the second thumbnail is stretched and shifted along each axis until
it lies on the first, as a crop of a few per cent asks for, and what is correlated is what is left of both after their
shading and their local contrast are taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

SIDE = 64  # a thumbnail's height and width
PIXELS = SIDE * SIDE
BLUR, SHADING, CONTRAST = 0.7, 2.0, 6.0  # pixels: what is smoothed, what is taken out, over what contrast is levelled
FLAT = 0.25  # of the mean contrast: areas with less are not blown up
EDGE = 1.0  # pixels at a thumbnail's border that do not count: beyond the film nothing is known
FARTHEST = 0.12  # of half a side: how far the border of a film may move
STEP = 0.06  # of half a side: the most of one step

Fields = NDArray[np.float32]  # (films, height, width)


@dataclass(frozen=True, slots=True)
class Level:
    """A resolution at which pairs are laid over one another.

    Attributes:
        side: pixels.
        steps: towards the least difference.
        least: agreement below which a pair is told apart here; one radiograph's reach 0.92 (docs/audit-duplicates.md).
    """

    side: int
    steps: int
    least: float


PIXELS_AT_ONCE = 1 << 18  # of each of some twenty fields: a megabyte
COARSE = Level(16, 4, 0.87)
LEVELS = (COARSE, Level(32, 3, 0.88), Level(SIDE, 3, -1))


class Thumbnails(Protocol):
    """Grey levels of films, (films, side x side), SIDE in the audit; some films at a time; an array will do."""

    def __len__(self) -> int: ...
    def __getitem__(self, films: Any, /) -> NDArray[np.uint8]: ...


class Pairs(Protocol):
    """Pairs of films whose details can be looked at."""

    def __len__(self) -> int: ...
    def details(self, pairs: NDArray[np.intp], side: int) -> tuple[Fields, Fields]:
        """Return the details of both films of some pairs."""


@dataclass(frozen=True, slots=True)
class Laid:
    """Pairs of thumbnails, the second of each laid over the first.

    Attributes:
        moves: (pairs, 4) stretch and shift across, stretch and shift down, in half sides.
        agreement: (pairs,) correlation of details; -1 where a pair was told apart before the finest level.
    """

    moves: NDArray[np.float32]
    agreement: NDArray[np.float32]


def laid_over(pairs: Pairs, levels: Sequence[Level] = LEVELS, *, thorough: bool = False) -> Laid:
    """Return how the second thumbnail of each pair comes to lie on the first, and how well they agree there.

    From coarse to fine: most pairs of different films are told apart by a sixteenth of the pixels.

    Args:
        pairs: some hundreds, since the fields of all are in memory at once.
        levels: the resolutions, from coarse to fine.
        thorough: whether all pairs go on to all levels, however little they agree.
    """
    moves = np.zeros((len(pairs), 4), np.float32)
    agreement = np.full(len(pairs), -1, np.float32)
    left = np.arange(len(pairs))
    for level in levels:
        for at in range(0, len(left), PIXELS_AT_ONCE // level.side**2):
            some = left[at : at + PIXELS_AT_ONCE // level.side**2]
            one, other = pairs.details(some, level.side)
            moves[some] = moved(one, other, moves[some], level.steps)
            agreement[some] = agreements(one, other, moves[some])
        stays = agreement[left] >= (-2 if thorough else level.least)
        agreement[left[~stays]] = -1
        left = left[stays]
    return Laid(moves, agreement)


def details(levels: NDArray[np.uint8], side: int) -> Fields:
    """Return the details of thumbnails at a side's resolution: no shading, the same contrast everywhere.

    Contrast normalised by neighbourhood (Jarrett et al., ICCV 2009) leaves little of brightness, contrast and gamma.
    """
    small = shrunk(levels, side)
    fine = _smoothed(small - _smoothed(small, SHADING), BLUR)
    contrast = np.sqrt(_smoothed(fine * fine, CONTRAST))
    floor = FLAT * contrast.mean(axis=(1, 2), keepdims=True) + 0.25
    return np.asarray(np.clip(fine / (contrast + floor), -3, 3), np.float32)


def shrunk(levels: NDArray[np.uint8], side: int) -> Fields:
    """Return thumbnails of SIDE x SIDE levels as the means of blocks."""
    of = SIDE // side
    rows = levels.reshape(len(levels), side, of, SIDE).sum(axis=2, dtype=np.float32)
    return np.asarray(rows.reshape(len(levels), side, side, of).sum(axis=3) / (of * of), np.float32)


def moved(one: Fields, other: Fields, moves: Fields, steps: int) -> Fields:
    """Return the moves after some steps towards the least difference of the pairs' details.

    The inverse compositional way of Gauss and Newton (Baker and Matthews, IJCV 56, 2004): slopes are the first
    thumbnail's, and so the same at each step.
    """
    slopes = _slopes(one)
    steepness = slopes @ slopes.transpose(0, 2, 1)
    damping = 1e-3 * np.trace(steepness, axis1=1, axis2=2)[:, None, None] + 1e-6
    inverse = np.linalg.inv(steepness + damping * np.eye(4, dtype=np.float32))
    for _ in range(steps):
        warped, inside = _warped(other, moves, edge=0)
        off = (_levelled(warped, inside) - _levelled(one, inside)) * inside
        step = (inverse @ (slopes @ off.reshape(len(off), -1, 1)))[:, :, 0]
        moves = _undone(moves, np.clip(step, -STEP, STEP))
    return moves


def agreements(one: Fields, other: Fields, moves: Fields) -> NDArray[np.float32]:
    """Return the correlation of the pairs' details where both thumbnails show film."""
    warped, inside = _warped(other, moves, edge=EDGE)
    product = _levelled(one, inside) * _levelled(warped, inside) * inside
    return np.asarray(product.sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1), np.float32)


def apart(one: Fields, other: Fields, moves: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean difference of the pairs' grey levels where both thumbnails show film."""
    warped, inside = _warped(other, moves, edge=EDGE)
    off = np.abs(one - warped) * inside
    return np.asarray(off.sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1), np.float32)


def _slopes(one: Fields) -> Fields:
    """Return how details change with each of the four numbers of a move, shape (films, 4, pixels)."""
    side, places = one.shape[1], _places(one.shape[1])
    levelled = _levelled(one, np.ones((1, side, side), np.float32))
    levelled *= side / 4  # half a side in pixels, by two pixels between neighbours
    slopes = np.empty((len(one), 4, side, side), np.float32)
    np.subtract(levelled[:, :, 2:], levelled[:, :, :-2], out=slopes[:, 1, :, 1:-1])
    np.subtract(levelled[:, 2:], levelled[:, :-2], out=slopes[:, 3, 1:-1])
    for end, of, less in ((0, 1, 0), (-1, -1, -2)):  # at the border, twice the step to the one neighbour
        slopes[:, 1, :, end] = 2 * (levelled[:, :, of] - levelled[:, :, less])
        slopes[:, 3, end] = 2 * (levelled[:, of] - levelled[:, less])
    np.multiply(slopes[:, 1], places, out=slopes[:, 0])
    np.multiply(slopes[:, 3], places[:, None], out=slopes[:, 2])
    return slopes.reshape(len(one), 4, side * side)


def _undone(moves: Fields, step: Fields) -> Fields:
    """Return moves after the reverse of a step, kept within what a crop asks for."""
    stretch, shift = moves[:, ::2], moves[:, 1::2]
    stretched = (1 + stretch) / (1 + step[:, ::2])
    undone = np.empty_like(moves)
    undone[:, ::2], undone[:, 1::2] = stretched - 1, shift - stretched * step[:, 1::2]
    return np.clip(undone, -FARTHEST, FARTHEST)


def _warped(other: Fields, moves: Fields, *, edge: float) -> tuple[Fields, Fields]:
    """Return thumbnails moved, between pixels linearly, and 1 where they show film, 0 where not."""
    side = other.shape[1]
    stretches, shifts = (moves[:, 0:1], moves[:, 2:3]), (moves[:, 1:2], moves[:, 3:4])  # across and down
    at = [
        (1 + _places(side) * (1 + stretch) + shift) * side / 2 - 0.5
        for stretch, shift in zip(stretches, shifts, strict=True)
    ]
    inside = [((place >= edge - 0.5) & (place <= side - 0.5 - edge)).astype(np.float32) for place in at]
    across, down = (_between(np.clip(place, 0, side - 1)) for place in at)
    warped = np.asarray(down @ other @ across.transpose(0, 2, 1), np.float32)
    return warped, inside[1][:, :, None] * inside[0][:, None, :]


def _between(places: Fields) -> Fields:
    """Return the weights of the pixels that lie about each place, shape (films, places, pixels)."""
    pixels = np.arange(places.shape[1], dtype=np.float32)
    return np.asarray(np.maximum(0, 1 - np.abs(places[:, :, None] - pixels)), np.float32)


def _levelled(fields: Fields, inside: Fields) -> Fields:
    """Return fields of mean 0 and mean square 1 where they count."""
    number = np.maximum(inside.sum(axis=(1, 2), keepdims=True), 1)
    centred = fields - (fields * inside).sum(axis=(1, 2), keepdims=True) / number
    power = (centred * centred * inside).sum(axis=(1, 2), keepdims=True) / number
    return np.asarray(centred / np.sqrt(np.maximum(power, 1e-12)), np.float32)


@cache
def _places(side: int) -> NDArray[np.float32]:
    """Return where the pixels of a side lie, from -1 to 1."""
    return np.asarray(2 * (np.arange(side) + 0.5) / side - 1, np.float32)


def _smoothed(fields: Fields, width: float) -> Fields:
    """Return fields smoothed both ways by a bell curve whose standard deviation is so many pixels."""
    smoothing = _gauss(fields.shape[1], width)
    return np.asarray(smoothing @ fields @ smoothing.T, np.float32)


@cache
def _gauss(side: int, width: float) -> NDArray[np.float32]:
    """Return the matrix that smooths by a bell curve, (side, side); at the border, by the part that lies inside."""
    pixels = np.arange(side)
    weights = np.exp(-0.5 * ((pixels[:, None] - pixels) / width) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
