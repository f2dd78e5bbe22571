"""Matrices that move a film about, and where the film then lies.

A matrix takes the centre of an output pixel, as (column, row), to the place in the input that is shown there:
the direction in which a warp reads. Applying P first and Q second is therefore `combine([P, Q])` = P @ Q, rounded.
Where numbers are arrays, one for each copy, the matrices have the shape of the arrays in front: (..., 2, 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.films.frame import Frame, Gray, Matrix

Numbers: TypeAlias = float | NDArray[np.float64]  # of one copy, or of many
Margins = Literal["black", "reflect", "replicate", "cover"]
Interpolation = Literal["nearest", "bilinear"]
DECIMALS = 12  # libraries' sines differ in the last bit; rounding lets all machines read the same pixel
BORDERS: Mapping[Margins, int] = {
    "black": cv2.BORDER_CONSTANT,
    "cover": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT_101,
    "replicate": cv2.BORDER_REPLICATE,
}
INTERPOLATIONS: Mapping[Interpolation, int] = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR}
# The C library's: NumPy has others for other processors, and a copy must not depend on where it is made.
_cosine, _sine = (np.frompyfunc(function, 1, 1) for function in (math.cos, math.sin))


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a frame in pixels; right and bottom are one past the last."""

    left: int
    top: int
    right: int
    bottom: int


def whole(frame: Frame) -> Box:
    """Return the box that is all of a frame."""
    return Box(0, 0, frame.width, frame.height)


def identity() -> Matrix:
    """Return the matrix that leaves every pixel where it is."""
    return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def about_centre(a: Numbers, b: Numbers, c: Numbers, d: Numbers, frame: Frame) -> Matrix:
    """Return the matrix of a linear map that leaves the centre of the frame where it is.

    The map is [[a, b], [c, d]]: it takes how far an output pixel lies from the centre, as (column, row), to how far the
    place lies from it that is read there.
    """
    x, y = (frame.width - 1) / 2, (frame.height - 1) / 2
    return _matrix(a, b, x - (a * x + b * y), c, d, y - (c * x + d * y))


def rotation(angle_deg: Numbers, frame: Frame) -> Matrix:
    """Return the matrix that turns a film about its centre, counter-clockwise for a positive angle."""
    angle = np.asarray(angle_deg) * (math.pi / 180)
    cosine, sine = (np.asarray(function(angle), np.float64) for function in (_cosine, _sine))
    return about_centre(cosine, -sine, sine, cosine, frame)


def flip(frame: Frame, flipped: Any = True) -> Matrix:  # noqa: FBT002 - one truth value per matrix
    """Return the matrix that mirrors a film left to right, the identity where it is not flipped."""
    return about_centre(np.where(flipped, -1.0, 1.0), 0.0, 0.0, 1.0, frame)


def zoom(factor: Numbers, frame: Frame) -> Matrix:
    """Return the matrix that enlarges a film about its centre."""
    step = 1.0 / np.asarray(factor)
    return about_centre(step, 0.0, 0.0, step, frame)


def shift(right_px: Numbers, down_px: Numbers) -> Matrix:
    """Return the matrix that moves a film to the right and down."""
    return _matrix(1.0, 0.0, -np.asarray(right_px), 0.0, 1.0, -np.asarray(down_px))


def _matrix(*numbers: Numbers) -> Matrix:
    """Return six numbers, or arrays of them, as a matrix, or a stack of them."""
    matrix = np.empty((*np.broadcast_shapes(*map(np.shape, numbers)), 6))
    for place, number in enumerate(numbers):
        matrix[..., place] = number
    return matrix.reshape(*matrix.shape[:-1], 2, 3)


def combine(matrices: Iterable[Matrix]) -> Matrix:
    """Return the one matrix that does what the matrices do one after the other, rounded to 12 decimals."""
    product = reduce(_product, matrices, identity())
    return np.round(product, DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0


def _product(first: Matrix, second: Matrix) -> Matrix:
    """Return two matrices' product, the row (0, 0, 1) implied; term by term, so that one and many round alike."""
    product = first[..., :1] * second[..., :1, :] + first[..., 1:2] * second[..., 1:, :]
    product[..., 2] += first[..., 2]
    return np.asarray(product)


def covering_zoom(matrix: Matrix, frame: Frame) -> float:
    """Return the smallest zoom that lets no output pixel read beyond the centres of the frame's outer pixels.

    The zoom comes last in the chain: it scales the output offsets d that the matrix sees, A d / z + t, and
    every corner offset d must end within half a frame: z >= |A d| / (half - |t|), for columns and for rows.

    Args:
        matrix: one, or a stack of them that the zoom must all cover.
        frame: the frame.

    Raises:
        ValueError: where the film is shifted out of sight, so that no zoom can cover the frame.
    """
    half = np.array([(frame.width - 1) / 2, (frame.height - 1) / 2])
    linear = matrix[..., :2]
    offset = linear @ half + matrix[..., 2] - half
    room = half - np.abs(offset)
    if np.any(room <= 0):
        farthest = np.abs(offset).reshape(-1, 2).max(axis=0)
        raise ValueError(f"a shift of {farthest.round(1).tolist()} px leaves no film in the frame's middle")
    corners = linear @ np.array([half, half * [1, -1]]).T
    return float(max(1.0, np.max(np.abs(corners) / room[..., None])))


def outside_share(matrix: Matrix, film: Box, frame: Frame) -> NDArray[np.float64]:
    """Return the share of a frame's pixels whose centre is read from outside the film's box, for each matrix.

    Along an output row the place that is read moves on a straight line, so the pixels that lie inside form
    one run whose ends follow from four inequalities: all rows are counted at once, no pixel is touched. Where
    the frame's corners lie inside, all of it does, the box being convex: so it is under `cover`, where the film fills
    the frame.

    Args:
        matrix: one, or a stack of them, (..., 2, 3); the shares have the shape of the stack.
        film: where the input shows film.
        frame: of input and output.
    """
    matrices = matrix.reshape(-1, 2, 3)
    shares = np.zeros(len(matrices))
    crossing = ~_corners_inside(matrices, film, frame)
    if crossing.any():
        shares[crossing] = _share_by_rows(matrices[crossing], film, frame)
    return shares.reshape(matrix.shape[:-2])


def _share_by_rows(matrices: Matrix, film: Box, frame: Frame) -> NDArray[np.float64]:
    """Return `outside_share` of matrices, (matrices, 2, 3), row by row: from the first column inside to the last."""
    rows = np.arange(frame.height)
    first = np.zeros((len(matrices), frame.height))
    last = np.full((len(matrices), frame.height), frame.width - 1.0)
    for axis, (low, high) in enumerate(_edges(film)):
        along, down, start = (matrices[:, axis, term, None] for term in range(3))
        at_zero = down * rows + start
        still = np.abs(along) < 1e-9  # all of the row lies between low and high, or none of it
        ends = (np.array([low, high])[:, None, None] - at_zero) / np.where(still, 1.0, along)
        first = np.where(still, first, np.maximum(first, np.ceil(ends.min(axis=0) - 1e-9)))
        all_or_none = np.where((at_zero >= low) & (at_zero < high), last, -1.0)
        last = np.where(still, all_or_none, np.minimum(last, np.floor(ends.max(axis=0) + 1e-9)))
    inside = np.maximum(last - first + 1, 0).sum(axis=1)
    return np.asarray(1 - inside / frame.pixels)


def _corners_inside(matrices: Matrix, film: Box, frame: Frame) -> NDArray[np.bool_]:
    """Return for each matrix whether all four corners of the frame are read from inside the film's box."""
    corners = np.array([(x, y, 1) for x in (0, frame.width - 1) for y in (0, frame.height - 1)])
    read = matrices @ corners.T
    (left, right), (top, bottom) = _edges(film)
    low, high = np.array([[left], [top]]), np.array([[right], [bottom]])
    return np.asarray(((read >= low) & (read < high)).all(axis=(1, 2)))


def _edges(film: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return from where to where the film's pixels reach, across and down: half a pixel beyond their centres."""
    return (film.left - 0.5, film.right - 0.5), (film.top - 0.5, film.bottom - 0.5)


def warp(image: Gray, matrix: Matrix, *, interpolation: Interpolation, margins: Margins) -> Gray:
    """Return the image as the matrix reads it, in the same frame, margins filled by their policy."""
    warped = cv2.warpAffine(
        image,
        matrix,
        (image.shape[1], image.shape[0]),
        flags=INTERPOLATIONS[interpolation] | cv2.WARP_INVERSE_MAP,
        borderMode=BORDERS[margins],
        borderValue=0,
    )
    return np.asarray(warped, np.uint8)
